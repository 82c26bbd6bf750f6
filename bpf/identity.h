/* Which container is speaking, and does it count yet. */

/* The task's cgroup, in the hierarchy that the targets live in: v2's, or one of v1's. */
static __always_inline void *cgroup_of(void *task, __u32 hierarchy)
{
	void *set = GET(void *, task, task_struct_cgroups), *state = 0;

	if (!hierarchy)
		return GET(void *, set, css_set_dfl_cgrp);
	LOAD_AT(state, set + OFF_css_set_subsys + ((hierarchy - 1) & 31) * sizeof(void *));
	return state ? GET(void *, state, cgroup_subsys_state_cgroup) : 0;
}

static __always_inline void *node_of(void *task, __u32 hierarchy)
{
	void *cgroup = cgroup_of(task, hierarchy);

	return cgroup ? GET(void *, cgroup, cgroup_kn) : 0;
}

/* ID of the cgroup's ancestor at a depth; its own at its own depth, 0 below that. */
static __always_inline __u64 ancestor_of(void *cgroup, __u32 level)
{
	__u64 id = 0;

	level &= 63;
	if (!cgroup || GET(__u32, cgroup, cgroup_level) < level)
		return 0;
#ifdef OFF_cgroup_ancestors
	void *ancestor = 0, *kn;

	LOAD_AT(ancestor, cgroup + OFF_cgroup_ancestors + level * sizeof(void *));
	kn = ancestor ? GET(void *, ancestor, cgroup_kn) : 0;
	if (kn)
		LOAD(id, kn, kernfs_node_id);
#else
	LOAD_AT(id, cgroup + OFF_cgroup_ancestor_ids + level * sizeof(id));
#endif
	return id;
}

/* The traced cgroup that a task lives below, and the container's: the target's child on the way down, or the target
 * itself. Cgroups nested in a container are folded into it. 0: not ours. */
static __always_inline struct snoop_target *find_target_of(void *task, struct snoop_config *config, __u64 *container,
							   __u64 *key)
{
	void *cgroup = cgroup_of(task, config->hierarchy);

	for (int i = 0; i < SNOOP_LEVELS; i++) {
		struct snoop_target *target;
		__u64 id;

		if (i >= config->count)
			break;
		id = ancestor_of(cgroup, config->levels[i]);
		target = id ? targets.lookup(&id) : 0;
		if (!target)
			continue;
		*key = id;
		*container = target->whole ? id : ancestor_of(cgroup, config->levels[i] + 1);
		return *container ? target : 0;
	}
	return 0;
}

/* The same for the current task, by the helper where the kernel has it: this is what every untraced call pays. */
static __always_inline struct snoop_target *find_target(__u64 *container, __u64 *key)
{
	struct snoop_config *config;
	int zero = 0;

	config = configs.lookup(&zero);
	if (!config)
		return 0;
#ifdef OFF_cgroup_ancestors
	if (config->hierarchy)
		return find_target_of((void *)bpf_get_current_task(), config, container, key);
	for (int i = 0; i < SNOOP_LEVELS; i++) {
		struct snoop_target *target;
		__u64 id;

		if (i >= config->count)
			break;
		id = bpf_get_current_ancestor_cgroup_id(config->levels[i]);
		target = targets.lookup(&id);
		if (!target)
			continue;
		*key = id;
		*container = target->whole ? id : bpf_get_current_ancestor_cgroup_id(config->levels[i] + 1);
		return *container ? target : 0;
	}
	return 0;
#else
	return find_target_of((void *)bpf_get_current_task(), config, container, key);
#endif
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
	return vfsmount - OFF_mount_mnt;
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

static __always_inline int counts(struct snoop_target *target, void *task)
{
	struct executable_key key = {};
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
	return begun.lookup(&key) != 0;
}

/* At exec: from here on this executable counts, unless a runtime runs it outside of any container. */
static __always_inline void note_exec(struct snoop_target *target, void *task)
{
	struct executable_key key = {};
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
		begun.update(&key, &yes);
}
