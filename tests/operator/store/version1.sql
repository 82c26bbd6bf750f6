BEGIN TRANSACTION;
CREATE TABLE boot (
	id INTEGER NOT NULL,
	pod_id INTEGER NOT NULL,
	boot VARCHAR(256) NOT NULL,
	last_sequence BIGINT NOT NULL,
	lacking BOOLEAN NOT NULL,
	lacking_since FLOAT NOT NULL,
	final BOOLEAN NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (pod_id, boot),
	FOREIGN KEY(pod_id) REFERENCES pod (id) ON DELETE CASCADE
);
INSERT INTO "boot" VALUES(1,1,'b1',1,0,0.0,0);
CREATE TABLE container (
	id INTEGER NOT NULL,
	pod_id INTEGER NOT NULL,
	container_id VARCHAR(256) NOT NULL,
	cgroup_id BIGINT NOT NULL,
	cgroup_path TEXT NOT NULL,
	started_at FLOAT NOT NULL,
	first_seen_at FLOAT NOT NULL,
	last_seen_at FLOAT NOT NULL,
	files INTEGER NOT NULL,
	version BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (pod_id, container_id),
	FOREIGN KEY(pod_id) REFERENCES pod (id) ON DELETE CASCADE
);
INSERT INTO "container" VALUES(1,1,'c1',1,'/c1',0.0,1.0,1.0,1,1);
CREATE TABLE counter (
	container_id INTEGER NOT NULL,
	boot_id INTEGER NOT NULL,
	events BIGINT NOT NULL,
	dropped BIGINT NOT NULL,
	PRIMARY KEY (container_id, boot_id),
	FOREIGN KEY(container_id) REFERENCES container (id) ON DELETE CASCADE,
	FOREIGN KEY(boot_id) REFERENCES boot (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "counter" VALUES(1,1,0,0);
CREATE TABLE gap (
	pod_id INTEGER NOT NULL,
	code VARCHAR(64) NOT NULL,
	container VARCHAR(256) NOT NULL,
	message TEXT NOT NULL,
	since FLOAT NOT NULL,
	occurrences BIGINT NOT NULL,
	PRIMARY KEY (pod_id, code, container),
	FOREIGN KEY(pod_id) REFERENCES pod (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE identity (
	pod_id INTEGER NOT NULL,
	container_id VARCHAR(256) NOT NULL,
	name VARCHAR(256) NOT NULL,
	image TEXT NOT NULL,
	digest VARCHAR(256) NOT NULL,
	PRIMARY KEY (pod_id, container_id),
	FOREIGN KEY(pod_id) REFERENCES pod (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "identity" VALUES(1,'c1','nginx','nginx:1','sha256:1');
CREATE TABLE loss (
	namespace VARCHAR(256) NOT NULL,
	profile VARCHAR(256) NOT NULL,
	previous_store VARCHAR(256) NOT NULL,
	since FLOAT NOT NULL,
	unselected_since FLOAT NOT NULL,
	PRIMARY KEY (namespace, profile)
)
 WITHOUT ROWID

;
CREATE TABLE meta (
	"key" VARCHAR(64) NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','1');
INSERT INTO "meta" VALUES('store_id','dd11bfd32014dd2ab204091212586529');
CREATE TABLE observation (
	container_id INTEGER NOT NULL,
	path_id INTEGER NOT NULL,
	target_id INTEGER NOT NULL,
	outcome SMALLINT NOT NULL,
	kinds INTEGER NOT NULL,
	first_seen FLOAT NOT NULL,
	last_seen FLOAT NOT NULL,
	executable_id INTEGER NOT NULL,
	volume BOOLEAN NOT NULL,
	collapsed BOOLEAN NOT NULL,
	PRIMARY KEY (container_id, path_id, target_id, outcome),
	FOREIGN KEY(container_id) REFERENCES container (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "observation" VALUES(1,1,1,0,1,1.0,1.0,0,0,0);
CREATE TABLE path (
	id INTEGER NOT NULL,
	hash BLOB NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (hash)
);
INSERT INTO "path" VALUES(0,X'','');
INSERT INTO "path" VALUES(1,X'58213CE1D571D32B15AE8554B4E0A4DD','/a');
CREATE TABLE pod (
	id INTEGER NOT NULL,
	uid VARCHAR(256) NOT NULL,
	namespace VARCHAR(256) NOT NULL,
	name VARCHAR(256) NOT NULL,
	node VARCHAR(256) NOT NULL,
	labels TEXT,
	owner VARCHAR(256) NOT NULL,
	started_at FLOAT NOT NULL,
	first_report_at FLOAT NOT NULL,
	last_report_at FLOAT NOT NULL,
	ended_at FLOAT NOT NULL,
	unselected_since FLOAT NOT NULL,
	agent_version TEXT NOT NULL,
	kernel TEXT NOT NULL,
	hooks TEXT NOT NULL,
	"attach" TEXT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (uid)
);
INSERT INTO "pod" VALUES(1,'u1','shop','web-1','node-1',NULL,'',0.0,1.0,1.0,0.0,0.0,'','','','');
INSERT INTO "pod" VALUES(2,'u2','shop','web-2','','{"app": "web"}','',0.0,0.0,0.0,0.0,0.0,'','','','');
CREATE TABLE used (
	container_id INTEGER NOT NULL,
	path_id INTEGER NOT NULL,
	first_seen FLOAT NOT NULL,
	PRIMARY KEY (container_id, path_id),
	FOREIGN KEY(container_id) REFERENCES container (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "used" VALUES(1,1,1.0);
CREATE INDEX pod_by_namespace ON pod (namespace);
CREATE INDEX ix_counter_boot_id ON counter (boot_id);
COMMIT;
