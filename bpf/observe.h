/* Seen before? Then count it and be gone. Else it is walked (walk.h) and written out. The only writer of the ring.
 *
 * A hook fills a scratch's record, walks and key (scratch.h), and asks is_new(). */

BPF_RINGBUF_OUTPUT(ring, SNOOP_RING_PAGES);
BPF_F_TABLE("lru_hash", struct snoop_key, __u8, seen, SNOOP_SEEN_ENTRIES, 0);
BPF_F_TABLE("lru_percpu_hash", __u64, struct snoop_counters, counters, 1024, 0);
BPF_F_TABLE("lru_hash", __u64, __u8, announced, 4096, 0);

static __always_inline struct snoop_counters *counters_of(__u64 container)
{
	struct snoop_counters *found = counters.lookup(&container);
	struct snoop_counters none = {};

	if (found)
		return found;
	counters.update(&container, &none);
	return counters.lookup(&container);
}

/* 1: new, so walk and emit it. */
static __always_inline int is_new(struct scratch *e, struct snoop_target *target, void *task)
{
	struct snoop_counters *count = counters_of(e->record.container);

	e->key.container = e->record.container;
	e->key.ino = e->record.ino;
	e->key.dev = e->record.dev;
	e->key.mount = e->record.mount;
	e->key.kinds = e->record.kinds | e->record.flags << 16;
	e->key.error = e->record.error;
	e->key.hash = e->hash;
	if (!e->unkeyed && seen.lookup(&e->key)) {
		if (count)
			count->events++;
		return 0;
	}
	if (!counts(target, task)) {
		if (count)
			count->runtime++;
		return 0;
	}
	if (count)
		count->events++;
	e->record.time_ns = bpf_ktime_get_boot_ns();
	e->record.tgid = bpf_get_current_pid_tgid() >> 32;
	return 1;
}

/* Tell the container's cgroup path, leaf first. */
static __always_inline void announce(struct scratch *e)
{
	volatile __u32 *used = &e->used;
	__u64 container = e->record.container, id = 0;
	struct snoop_config *config;
	int within = 0, zero = 0;
	__u8 yes = 1;
	void *kn;

	config = configs.lookup(&zero);
	if (!config)
		return;
	kn = node_of(e->task, config->hierarchy);
	__builtin_memset(&e->record.flags, 0, 12);
	__builtin_memset(&e->record.lengths, 0, sizeof(e->record.lengths));
	e->record.type = SNOOP_RECORD_CONTAINER;
	*used = 0;
	for (int i = 0; i < 32; i++) {
		__u32 where;
		long length;
		void *name;

		if (!kn)
			break;
		LOAD(id, kn, kernfs_node_id);
		if (id == container)
			within = 1;
		if (within) {
			where = *used & SNOOP_DATA_MASK;
			name = GET(void *, kn, kernfs_node_name);
			length = bpf_probe_read_kernel_str(e->data + where, SNOOP_SEGMENT_MAX, name);
			if (length > 1) {
				where = (where + (length & (SNOOP_SEGMENT_MAX - 1)) - 1) & SNOOP_DATA_MASK;
				e->data[where] = '/';
				*used = where + 1;
			}
		}
		kn = GET(void *, kn, kernfs_node_parent);
	}
	e->record.lengths[SNOOP_ASKED] = *used;
	if (!ring.ringbuf_output(&e->record, sizeof(e->record) + (e->used & SNOOP_DATA_MASK), 0))
		announced.update(&container, &yes);
}

/* Write the record out. The hook's next stage, or 0. */
static __always_inline int emit(struct scratch *e)
{
	__u64 container = e->record.container;
	struct snoop_counters *count = counters.lookup(&container);
	__u32 size = sizeof(e->record) + (e->used & SNOOP_DATA_MASK), next = e->next;
	__u8 yes = 1;

	if (ring.ringbuf_output(&e->record, size, 0)) {
		if (count)
			count->lost++;
	} else {
		if (!e->unkeyed)
			seen.update(&e->key, &yes);
		if (count)
			count->records++;
		if (!announced.lookup(&container))
			announce(e);
	}
	e->owner = 0;
	return next;
}

/* The tails' bodies; hooks_*.h wrap them, once for each kind of program that it attaches. */
static __always_inline int walk_next(void)
{
	struct scratch *e = handed_on();

	return e ? walk_some(e) : TAILS;
}

static __always_inline int emit_record(void)
{
	struct scratch *e = handed_on();

	return e ? emit(e) : 0;
}
