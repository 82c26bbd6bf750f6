/* Which container is speaking, and does it count yet. */

/* The task's cgroup, in the hierarchy that the targets live in: v2's, or one of v1's. */
static __always_inline void *cgroup_of(void *task, __u32 hierarchy)
{
	void *set = GET(void *, task, task_struct_cgroups), *state = 0;

	if (!hierarchy)
		return GET(void *, set, css_set_dfl_cgrp);
	LOAD_AT(state, AT(set, css_set_subsys) + ((hierarchy - 1) & 31) * sizeof(void *));
	return state ? GET(void *, state, cgroup_subsys_state_cgroup) : 0;
}

static __always_inline __u64 id_of(void *cgroup)
{
	void *kn = cgroup ? GET(void *, cgroup, cgroup_kn) : 0;

	return kn ? GET(__u64, kn, kernfs_node_id) : 0;
}

/* ID of the cgroup's ancestor at a depth; its own at its own depth, 0 below that. */
static __always_inline __u64 ancestor_of(void *cgroup, __u32 level)
{
	void *ancestor = 0;
	__u64 id = 0;

	level &= 63;
	if (!cgroup || GET(__u32, cgroup, cgroup_level) < level)
		return 0;
	if (HAS(cgroup_ancestors)) {
		LOAD_AT(ancestor, AT(cgroup, cgroup_ancestors) + level * sizeof(ancestor));
		return id_of(ancestor);
	}
	LOAD_AT(id, AT(cgroup, cgroup_ancestor_ids) + level * sizeof(id));
	return id;
}

/* Find out the traced cgroup that a task lives below, and its container: the target's child on the way down, or the
 * target itself. Cgroups nested in a container are folded into it. */
static __always_inline void find_out(void *task, struct snoop_config *config, struct snoop_leaf *leaf)
{
	void *cgroup = cgroup_of(task, config->hierarchy);

	leaf->generation = config->generation;
	for (int i = 0; i < SNOOP_LEVELS; i++) {
		struct snoop_target *target;
		__u64 id;

		if (i >= config->count)
			break;
		id = ancestor_of(cgroup, config->levels[i]);
		target = id ? LOOKUP(targets, &id) : 0;
		if (!target)
			continue;
		leaf->target = id;
		leaf->container = target->whole ? id : ancestor_of(cgroup, config->levels[i] + 1);
		leaf->slot = target->slot;
		if (leaf->container == target->own)
			leaf->container = 0;
		break;
	}
}

/* Whose a task is: 1 and `leaf`, or 0 if none of ours. What every call of every process on the node pays for is the
 * look-up of its cgroup. */
static __always_inline int find_leaf(void *task, int current, struct snoop_leaf *leaf)
{
	struct snoop_config *config;
	struct snoop_leaf *known;
	int zero = 0;
	__u64 id;

	config = LOOKUP(configs, &zero);
	if (!config)
		return 0;
	if (current && !config->hierarchy)
		id = bpf_get_current_cgroup_id();
	else
		id = id_of(cgroup_of(task, config->hierarchy));
	known = LOOKUP(leaves, &id);
	if (known && known->generation == config->generation) {
		*leaf = *known;
	} else {
		find_out(task, config, leaf);
		UPDATE(leaves, &id, leaf);
	}
	return leaf->container != 0;
}

/* Runtimes set a container up from inside its cgroup: before the container's first exec they open the host's libc,
 * /proc/self/... and more. They do so in the runtime's own mount namespace, then in the container's with an executable
 * on a mount of another one (or on none: a memfd). A process of the container was exec'd from a mount of its own
 * namespace; one that has since unshared, or that runs a memfd, is known by its executable from when it was exec'd
 * (`begun`). */
static __always_inline void *executable_of(void *task, struct executable_key *key)
{
	void *mm = GET(void *, task, task_struct_mm);
	void *file = mm ? GET(void *, mm, mm_struct_exe_file) : 0;
	void *inode = file ? GET(void *, file, file_f_inode) : 0;
	void *sb;
	__u32 dev = 0;

	if (!inode)
		return 0;
	LOAD(key->ino, inode, inode_i_ino);
	sb = GET(void *, inode, inode_i_sb);
	LOAD(dev, sb, super_block_s_dev);
	key->dev = dev;
	return file;
}

static __always_inline void *mount_of(void *vfsmount)
{
	return MINUS(vfsmount, OFF_mount_mnt);
}

static __always_inline void *mount_namespace_of(void *task)
{
	void *nsproxy = GET(void *, task, task_struct_nsproxy);

	return nsproxy ? GET(void *, nsproxy, nsproxy_mnt_ns) : 0;
}

/* Whether a task lives where the runtime does: in its namespace or, as its hooks do, at its root in the container's. */
static __always_inline int is_runtimes(struct snoop_target *target, void *task)
{
	void *mine = mount_namespace_of(task), *fs = GET(void *, task, task_struct_fs);

	if (!mine || (__u64)mine == target->runtime_ns)
		return 1;
	return target->runtime_root && fs && GET(__u64, fs, fs_struct_root_dentry) == target->runtime_root;
}

static __always_inline int counts(struct snoop_target *target, __u64 id, void *task)
{
	struct executable_key key = {.target = id};
	void *file, *mnt;

	if (target->waiting)
		return 0;
	/* A command of its own has no runtime, and may live in the machine's mount namespace. */
	if (target->whole)
		return 1;
	if (is_runtimes(target, task))
		return 0;
	file = executable_of(task, &key);
	if (!file)
		return 1;
	mnt = GET(void *, file, file_f_path_mnt);
	if (GET(void *, mount_of(mnt), mount_mnt_ns) == mount_namespace_of(task))
		return 1;
	return LOOKUP(begun, &key) != 0;
}

/* At exec: from here on this executable counts, unless a runtime runs it outside of any container. */
static __always_inline void note_exec(struct snoop_target *target, __u64 id, void *task)
{
	struct executable_key key = {.target = id};
	__u8 yes = 1;

	if (target->keep_root) {
		void *fs = GET(void *, task, task_struct_fs);

		LOAD(target->root_mnt, fs, fs_struct_root_mnt);
		LOAD(target->root_dentry, fs, fs_struct_root_dentry);
		target->keep_root = 0;
	}
	target->waiting = 0;
	if (!target->whole && is_runtimes(target, task))
		return;
	if (executable_of(task, &key))
		UPDATE(begun, &key, &yes);
}
