"""The command lines of the cluster's programs."""

from pathlib import Path


def commands(values: dict[str, str]) -> dict[str, list[str]]:
    """By name, in the order in which they start. `values` are the settings and STATE's directories."""
    state = values["STATE"]
    etc, parts = f"{state}/etc", f"{state}/parts"
    sbin, usr = f"{parts}/kube/sbin", f"{parts}/debs/usr"
    node, address = values["NODE_NAME"], values["NODE_IP"]
    return {
        # All of etcd is in memory: it is small, goes with the cluster, and waits for no disk.
        "etcd": [
            f"{usr}/bin/etcd",
            "--data-dir=/run/etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--auto-compaction-retention=1h",
        ],
        "registry": [f"{usr}/bin/docker-registry", "serve", f"{etc}/registry.yaml"],
        "containerd": [f"{usr}/bin/containerd", "--config", f"{etc}/containerd.toml"],
        "kube-apiserver": [
            f"{sbin}/kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--advertise-address={address}",
            f"--secure-port={values['API_PORT']}",
            f"--service-cluster-ip-range={values['SERVICE_CIDR']}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            # Webhooks are called at their pods' addresses, so the API server needs no route to Services.
            "--enable-aggregator-routing=true",
            "--allow-privileged=true",
            f"--client-ca-file={etc}/ca.crt",
            f"--tls-cert-file={etc}/apiserver.crt",
            f"--tls-private-key-file={etc}/apiserver.key",
            f"--kubelet-certificate-authority={etc}/ca.crt",
            f"--kubelet-client-certificate={etc}/apiserver-kubelet.crt",
            f"--kubelet-client-key={etc}/apiserver-kubelet.key",
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            f"--service-account-issuer=https://kubernetes.default.svc.{values['CLUSTER_DOMAIN']}",
            f"--service-account-key-file={etc}/sa.pub",
            f"--service-account-signing-key-file={etc}/sa.key",
            f"--requestheader-client-ca-file={etc}/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={etc}/front-proxy.crt",
            f"--proxy-client-key-file={etc}/front-proxy.key",
        ],
        "kube-controller-manager": [
            f"{sbin}/kube-controller-manager",
            f"--kubeconfig={etc}/controller-manager.kubeconfig",
            f"--authentication-kubeconfig={etc}/controller-manager.kubeconfig",
            f"--authorization-kubeconfig={etc}/controller-manager.kubeconfig",
            "--bind-address=127.0.0.1",
            "--flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins",  # the default would be made on the host
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            "--kube-api-qps=200",  # at the default it takes 5 s longer until pods may be made
            "--kube-api-burst=400",
            f"--root-ca-file={etc}/ca.crt",
            f"--service-account-private-key-file={etc}/sa.key",
            f"--cluster-signing-cert-file={etc}/ca.crt",
            f"--cluster-signing-key-file={etc}/ca.key",
        ],
        "kube-scheduler": [
            f"{sbin}/kube-scheduler",
            f"--kubeconfig={etc}/scheduler.kubeconfig",
            f"--authentication-kubeconfig={etc}/scheduler.kubeconfig",
            f"--authorization-kubeconfig={etc}/scheduler.kubeconfig",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
        "kubelet": [
            f"{sbin}/kubelet",
            f"--config={etc}/kubelet.yaml",
            f"--kubeconfig={etc}/kubelet.kubeconfig",
            f"--hostname-override={node}",
            f"--node-ip={address}",
        ],
        "kube-proxy": [f"{sbin}/kube-proxy", f"--config={etc}/kube-proxy.yaml"],
        "coredns": [f"{sbin}/coredns", "-conf", f"{etc}/Corefile"],
        "provisioner": ["python3", f"{state}/scripts/provisioner.py", f"{etc}/admin.kubeconfig", node],
    }


def environment(values: dict[str, str]) -> dict[str, str]:
    parts = Path(values["STATE"]) / "parts"
    places = ["iptables", "kube/sbin", "kube/bin", "debs/usr/bin", "debs/usr/sbin"]
    system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    return {"PATH": ":".join([str(parts / place) for place in places] + system), "HOME": "/run", "LANG": "C.UTF-8"}
