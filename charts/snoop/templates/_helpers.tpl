{{/* What everything of this release is named after. */}}
{{- define "snoop.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "snoop.operator" -}}
{{- printf "%s-operator" (include "snoop.fullname" .) -}}
{{- end -}}

{{- define "snoop.secret" -}}
{{- printf "%s-tls" (include "snoop.operator" .) -}}
{{- end -}}

{{- define "snoop.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "snoop.operator" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "snoop.claim" -}}
{{- default (include "snoop.operator" .) .Values.persistence.existingClaim -}}
{{- end -}}

{{- define "snoop.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "snoop.labels" -}}
{{ include "snoop.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* An image reference. Takes a dict of `root` (.) and `image` (repository, tag, digest). */}}
{{- define "snoop.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* cpu=50m,memory=64Mi from a map of quantities. */}}
{{- define "snoop.quantities" -}}
{{- $pairs := list -}}
{{- range $name, $amount := . -}}
{{- $pairs = append $pairs (printf "%s=%v" $name $amount) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}
