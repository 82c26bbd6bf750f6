"""The tables. `migrations` brings a store to this shape; SQLite and PostgreSQL both can hold it.

Path strings are interned in `path` (in the written form of `snoop_report.paths.escape`, found by a hash, since no index
of PostgreSQL holds 4,096 bytes). `used` follows from `observation`: the distinct paths that a container used
(`ContainerReport.files`), kept so that unions are counted without reading strings.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from snoop_report.model import Kind, Outcome

metadata = MetaData()

EMPTY_PATH = 0
"""Row of the empty string: no target, no executable."""

# Stored numbers: add at the end, never renumber.
OUTCOMES: dict[Outcome, int] = {Outcome.EXISTS: 0, Outcome.MISSING: 1, Outcome.DENIED: 2, Outcome.FAILED: 3}
KINDS: dict[Kind, int] = {
    Kind.READ: 1 << 0,
    Kind.WRITE: 1 << 1,
    Kind.CREATE: 1 << 2,
    Kind.EXECUTE: 1 << 3,
    Kind.MAP: 1 << 4,
    Kind.STAT: 1 << 5,
    Kind.READLINK: 1 << 6,
    Kind.LIST: 1 << 7,
    Kind.CHDIR: 1 << 8,
    Kind.MODIFY: 1 << 9,
    Kind.OPEN: 1 << 10,
    Kind.HELD: 1 << 11,
}

# SQLite counts rows by itself only in a column of type INTEGER; elsewhere 64 bits must be asked for.
_Id = BigInteger().with_variant(Integer, "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

path = Table(
    "path",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("hash", LargeBinary(16), nullable=False, unique=True),
    Column("name", Text, nullable=False),
)

pod = Table(
    "pod",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("uid", String(256), nullable=False, unique=True),
    Column("namespace", String(256), nullable=False),
    Column("name", String(256), nullable=False),
    Column("node", String(256), nullable=False, default=""),
    Column("pods", Integer, nullable=False, default=1),  # that it stands for: see folding
    Column("agent_restarts", Integer, nullable=False, default=0),
    Column("labels", Text),  # JSON; NULL until the cluster's watch has shown the pod
    Column("owner", String(256), nullable=False, default=""),
    Column("started_at", Float, nullable=False, default=0.0),
    Column("first_report_at", Float, nullable=False, default=0.0),
    Column("last_report_at", Float, nullable=False, default=0.0),
    Column("ended_at", Float, nullable=False, default=0.0),
    Column("unselected_since", Float, nullable=False, default=0.0),
    Column("agent_version", Text, nullable=False, default=""),
    Column("kernel", Text, nullable=False, default=""),
    Column("hooks", Text, nullable=False, default=""),
    Column("attach", Text, nullable=False, default=""),
    Column("exclude", Text, nullable=False, default=""),  # JSON: prefixes that were not recorded; empty: none
    Column("max_unique_files", BigInteger, nullable=False, default=0),
    Index("pod_by_namespace", "namespace"),
)

boot = Table(
    "boot",
    metadata,
    Column("id", _Id, primary_key=True),  # ascending: the highest of a pod is its agent's newest run
    Column("pod_id", _Id, ForeignKey("pod.id", ondelete="CASCADE"), nullable=False),
    Column("boot", String(256), nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("lacking", Boolean, nullable=False, default=False),  # deltas before last_sequence never came
    Column("lacking_since", Float, nullable=False, default=0.0),
    Column("full_since", BigInteger, nullable=False, default=0),  # see boots.Progress
    Column("full_to", BigInteger, nullable=False, default=0),
    Column("final", Boolean, nullable=False, default=False),
    UniqueConstraint("pod_id", "boot"),
)

container = Table(
    "container",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("pod_id", _Id, ForeignKey("pod.id", ondelete="CASCADE"), nullable=False),
    Column("container_id", String(256), nullable=False),
    Column("cgroup_id", BigInteger, nullable=False),
    Column("cgroup_path", Text, nullable=False),
    Column("started_at", Float, nullable=False, default=0.0),
    Column("first_seen_at", Float, nullable=False),
    Column("last_seen_at", Float, nullable=False),
    Column("files", Integer, nullable=False, default=0),
    Column("pods", Integer, nullable=False, default=1),
    Column("version", BigInteger, nullable=False, default=0),  # goes up with every new observation
    UniqueConstraint("pod_id", "container_id"),
)

identity = Table(
    "identity",
    metadata,
    Column("pod_id", _Id, ForeignKey("pod.id", ondelete="CASCADE"), primary_key=True),
    Column("container_id", String(256), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("image", Text, nullable=False),
    Column("digest", String(256), nullable=False),
    Column("ran_at", Float, nullable=False, default=0.0),  # when the cluster says that it started; 0: not known to have
    sqlite_with_rowid=False,
)

counter = Table(
    "counter",
    metadata,
    Column("container_id", _Id, ForeignKey("container.id", ondelete="CASCADE"), primary_key=True),
    Column("boot_id", _Id, ForeignKey("boot.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("events", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

gap = Table(
    "gap",
    metadata,
    Column("pod_id", _Id, ForeignKey("pod.id", ondelete="CASCADE"), primary_key=True),
    Column("code", String(64), primary_key=True),
    Column("container", String(256), primary_key=True),
    Column("message", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("occurrences", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

observation = Table(
    "observation",
    metadata,
    Column("container_id", _Id, ForeignKey("container.id", ondelete="CASCADE"), primary_key=True),
    Column("path_id", _Id, primary_key=True),
    Column("target_id", _Id, primary_key=True),
    Column("outcome", SmallInteger, primary_key=True),
    Column("kinds", Integer, nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("executable_id", _Id, nullable=False),
    Column("volume", Boolean, nullable=False),
    Column("collapsed", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

used = Table(
    "used",
    metadata,
    Column("container_id", _Id, ForeignKey("container.id", ondelete="CASCADE"), primary_key=True),
    Column("path_id", _Id, primary_key=True),
    Column("first_seen", Float, nullable=False),
    sqlite_with_rowid=False,
)

# Containers of pods that a profile selects and that have no agent: one row for all pods alike.
unprofiled = Table(
    "unprofiled",
    metadata,
    Column("namespace", String(256), primary_key=True),
    Column("profile", String(256), primary_key=True),
    Column("name", String(256), primary_key=True),  # all three empty: stands for those that found no room
    Column("image", String(1024), primary_key=True),
    Column("digest", String(256), primary_key=True),
    Column("created_at", Float, nullable=False),  # of the latest such pod
    Column("seen_at", Float, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_with_rowid=False,
)

# What an image holds, as `snoop_image.codec` writes it: fetched once, whichever profile asked.
inventory = Table(
    "inventory",
    metadata,
    Column("digest", String(256), primary_key=True),  # as the container runtime reported it: often an index's
    Column("content", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes of content
    Column("fetched_at", Float, nullable=False),
)

loss = Table(
    "loss",
    metadata,
    Column("namespace", String(256), primary_key=True),
    Column("profile", String(256), primary_key=True),
    Column("previous_store", String(256), nullable=False),
    Column("since", Float, nullable=False),
    Column("unselected_since", Float, nullable=False, default=0.0),
    sqlite_with_rowid=False,
)
