/* Which container is speaking, and does it count yet. */

/* The current task's cgroup (v2) as a kernfs node. */
static __always_inline void *current_kn(void *task)
{
	void *set = GET(void *, task, task_struct_cgroups);
	void *cgroup = GET(void *, set, css_set_dfl_cgrp);

	return GET(void *, cgroup, cgroup_kn);
}

/* The traced cgroup that the current task lives below, and the container's: the target's child on the way down, or the
 * target itself. Cgroups nested in a container are folded into it. 0: not ours. */
static __always_inline struct snoop_target *find_target(__u64 *container, __u64 *key)
{
	struct snoop_config *config;
	int zero = 0;

	config = configs.lookup(&zero);
	if (!config)
		return 0;
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
}

/* Runtimes set a container up from inside its cgroup: before the container's first exec they open the host's libc,
 * /proc/self/... and more. Their executable lies on a mount of another mount namespace (or on none: a memfd). A
 * process of the container was exec'd from a mount of its own namespace; one that has since unshared, or that runs a
 * memfd, is known by its executable from when it was exec'd (`begun`). */
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

static __always_inline int counts(struct snoop_target *target, void *task)
{
	struct executable_key key = {};
	void *file, *mnt;

	if (target->waiting)
		return 0;
	/* A command of its own has no runtime, and may live in the machine's mount namespace. */
	if (target->whole)
		return 1;
	file = executable_of(task, &key);
	if (!file)
		return 1;
	mnt = GET(void *, file, file_f_path_mnt);
	if (GET(void *, mount_of(mnt), mount_mnt_ns) == mount_namespace_of(task))
		return 1;
	return begun.lookup(&key) != 0;
}

/* At exec: from here on this executable counts, unless a runtime runs it outside of any container, in the mount
 * namespace of the machine's first process. */
static __always_inline void note_exec(struct snoop_target *target, void *task)
{
	void *mine = mount_namespace_of(task), *ancestor = task;
	struct executable_key key = {};
	__u8 yes = 1;

	if (target->keep_root) {
		void *fs = GET(void *, task, task_struct_fs);

		LOAD(target->root_mnt, fs, fs_struct_root_mnt);
		LOAD(target->root_dentry, fs, fs_struct_root_dentry);
		target->keep_root = 0;
	}
	target->waiting = 0;
	for (int i = 0; i < 32; i++) {
		if (GET(int, ancestor, task_struct_tgid) <= 1)
			break;
		ancestor = GET(void *, ancestor, task_struct_real_parent);
	}
	if (mine == mount_namespace_of(ancestor))
		return;
	if (executable_of(task, &key))
		begun.update(&key, &yes);
}
