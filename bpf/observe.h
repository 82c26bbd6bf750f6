/* Seen before? Then count it and be gone. Else it is walked (walk.h) and written out. The only writer of the ring.
 *
 * A hook fills a scratch's record, walks and key (scratch.h), and asks is_new(). */

/* What a pod's agent makes for itself, and pays for: its ring, the objects seen, counters by container. These are their
 * shapes, and what an agent that shares nothing uses. */
MAP_RINGBUF_OF(ring, SNOOP_RING_BYTES);
MAP_ARRAY_OF(seen, struct snoop_bucket, SNOOP_BUCKETS);
MAP(counters, PERCPU_HASH, __u64, struct snoop_counters, SNOOP_CONTAINERS);
MAP_ARRAY_OF_MAPS(rings, ring, SNOOP_TARGETS);
MAP_ARRAY_OF_MAPS(seens, seen, SNOOP_TARGETS);
MAP_ARRAY_OF_MAPS(countings, counters, SNOOP_TARGETS);
/* Containers told, and to which run of the agent. */
MAP(announced, LRU_HASH, __u64, __u64, 1024);

static __always_inline struct snoop_counters *counters_of(__u32 slot, __u64 container)
{
	void *counting = LOOKUP(countings, &slot);
	struct snoop_counters *found, none = {};

	if (!counting)
		return 0;
	found = MAP_LOOKUP(counting, &container);
	if (found)
		return found;
	/* No room: counted with all others for which there is none. */
	if (MAP_UPDATE(counting, &container, &none))
		container = 0;
	return MAP_LOOKUP(counting, &container);
}

/* The front buckets lie close together: what most containers use fits there, and a look-up finds it in the caches. They
 * keep what they have. Who finds no place there has one in the back, which has room for all, and where the new replace
 * the old. */
static __always_inline struct snoop_bucket *front_of(void *objects, __u64 fingerprint)
{
	__u32 index = fingerprint >> 40 & HOLE(SNOOP_FRONT_MASK);

	return MAP_LOOKUP(objects, &index);
}

static __always_inline struct snoop_bucket *back_of(void *objects, __u64 fingerprint)
{
	__u32 index = HOLE(SNOOP_FRONT) + (fingerprint >> 20 & HOLE(SNOOP_BACK_MASK));

	return MAP_LOOKUP(objects, &index);
}

static __always_inline int holds(struct snoop_bucket *bucket, __u64 it)
{
	return bucket->seen[0] == it || bucket->seen[1] == it || bucket->seen[2] == it || bucket->seen[3] == it ||
	       bucket->seen[4] == it || bucket->seen[5] == it || bucket->seen[6] == it || bucket->seen[7] == it;
}

static __always_inline int was_seen(struct scratch *e)
{
	void *objects = LOOKUP(seens, &e->agent);
	struct snoop_bucket *bucket;

	if (!objects || e->unkeyed)
		return 0;
	bucket = front_of(objects, e->seen);
	if (!bucket)
		return 0;
	if (holds(bucket, e->seen))
		return 1;
	/* Places are taken in their order. */
	if (!bucket->seen[SNOOP_BUCKET - 1])
		return 0;
	bucket = back_of(objects, e->seen);
	return bucket && holds(bucket, e->seen);
}

#define TAKE_IF_EMPTY(place)                                                                                           \
	if (!bucket->seen[place]) {                                                                                    \
		bucket->seen[place] = it;                                                                              \
		return 1;                                                                                              \
	}

static __always_inline int take_place_in(struct snoop_bucket *bucket, __u64 it)
{
	TAKE_IF_EMPTY(0)
	TAKE_IF_EMPTY(1)
	TAKE_IF_EMPTY(2)
	TAKE_IF_EMPTY(3)
	TAKE_IF_EMPTY(4)
	TAKE_IF_EMPTY(5)
	TAKE_IF_EMPTY(6)
	TAKE_IF_EMPTY(7)
	return 0;
}

static __always_inline void mark_seen(struct scratch *e)
{
	void *objects = LOOKUP(seens, &e->agent);
	__u32 place = e->seen >> 1 & (SNOOP_BUCKET - 1);
	struct snoop_bucket *bucket;

	if (!objects || e->unkeyed)
		return;
	bucket = front_of(objects, e->seen);
	if (bucket && take_place_in(bucket, e->seen))
		return;
	bucket = back_of(objects, e->seen);
	if (bucket && !take_place_in(bucket, e->seen))
		bucket->seen[place] = e->seen;
}

/* That one object hides another has a chance of 1 in 10^14, at 100,000 of them. */
static __always_inline void take_fingerprint(struct scratch *e)
{
	__u64 hash = mix(mix(e->hash, e->object), e->record.container);

	hash = mix(hash, (__u64)(e->record.kinds | e->record.flags << 16) << 32 | (__u32)e->record.error);
	e->seen = mix(hash, hash >> 32) | 1;
}

/* What every touch pays for: 1 if it is not among those seen, so that it is handed on to the tails. */
static __always_inline int is_new(struct scratch *e)
{
	struct snoop_counters *count;

	take_fingerprint(e);
	if (!was_seen(e)) {
		e->owner = bpf_get_current_pid_tgid();
		return 1;
	}
	count = counters_of(e->agent, e->record.container);
	if (count)
		count->events++;
	return 0;
}

/* The hook's next stage, or 0. */
static __always_inline int done_with(struct scratch *e)
{
	if (!e->next)
		e->owner = 0;
	return e->next;
}

/* The first tail looks closer. 0: it is not to be told after all. */
static __always_inline int admit(struct scratch *e)
{
	struct snoop_counters *count = counters_of(e->agent, e->record.container);
	struct snoop_target *target = target_of(e);

	if (e->walks[SNOOP_TARGET].dentry && !describe_object(e)) {
		/* A link may lead to a pipe (/dev/stdout): that is no file, but the link's name was used. */
		if (!e->record.lengths[SNOOP_ASKED] && !(e->record.flags & SNOOP_ASKED_UNREADABLE))
			return 0;
		take_fingerprint(e);
		if (was_seen(e)) {
			if (count)
				count->events++;
			return 0;
		}
	}
	if (!target)
		return 0;
	if (!counts(target, e->target, e->task)) {
		if (count)
			count->runtime++;
		return 0;
	}
	if (count)
		count->events++;
	take_executable(e, e->task);
	e->record.time_ns = bpf_ktime_get_boot_ns();
	e->record.tgid = GET(__u32, e->task, task_struct_tgid);
	return 1;
}

/* Tell the container's cgroup path, leaf first. */
static __always_inline void announce(struct scratch *e, void *told, __u64 epoch)
{
	volatile __u32 *used = &e->used;
	__u64 container = e->record.container, id = 0;
	struct snoop_config *config;
	int within = 0, zero = 0;
	void *cgroup, *kn;

	config = LOOKUP(configs, &zero);
	if (!config)
		return;
	cgroup = cgroup_of(e->task, config->hierarchy);
	kn = cgroup ? GET(void *, cgroup, cgroup_kn) : 0;
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
	if (!RING_OUTPUT(told, &e->record, sizeof(e->record) + (e->used & SNOOP_DATA_MASK)))
		UPDATE(announced, &container, &epoch);
}

/* Write the record out. The hook's next stage, or 0. */
static __always_inline int emit(struct scratch *e)
{
	__u32 slot = e->agent, size = sizeof(e->record) + (e->used & SNOOP_DATA_MASK);
	__u64 container = e->record.container, *known;
	struct snoop_counters *count = counters_of(slot, container);
	struct snoop_target *target = target_of(e);
	void *told = LOOKUP(rings, &slot);

	if (told && target) {
		if (RING_OUTPUT(told, &e->record, size)) {
			if (count)
				count->lost++;
			return done_with(e);
		}
		mark_seen(e);
		if (count)
			count->records++;
		known = LOOKUP(announced, &container);
		if (!known || *known != target->epoch)
			announce(e, told, target->epoch);
	}
	return done_with(e);
}

/* The tails' bodies; hooks_*.h wrap them, once for each kind of program that it attaches. */
static __always_inline int walk_next(void)
{
	struct scratch *e = handed_on();

	return e ? walk_some(e) : 0;
}

static __always_inline int admit_record(void)
{
	struct scratch *e = handed_on();

	if (!e)
		return 0;
	return admit(e) ? TAIL_WALK : done_with(e);
}

/* Tail calls fail only where the kernel's limit of them is reached; then the record is lost, and that is told. */
MAP_PERCPU_ARRAY_OF(failures, __u64, 1);

static __always_inline int fail(void)
{
	struct scratch *e = handed_on();
	int zero = 0;
	__u64 *count = LOOKUP(failures, &zero);

	/* Or this thread's next call would be taken for this one's next stage. */
	if (e)
		e->owner = 0;
	if (count)
		*count += 1;
	return 0;
}

static __always_inline int emit_record(void)
{
	struct scratch *e = handed_on();

	return e ? emit(e) : 0;
}
