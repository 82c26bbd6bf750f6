/* Tells the process that runs it (BPF_PROG_TEST_RUN) which cgroups it lives in: a private cgroup namespace hides them
 * from it, and on hybrid hosts a container has no file system to look them up in. */

BPF_ARRAY(whereabouts, struct snoop_whereabouts, 1);

int snoop_whereabouts(void *ctx)
{
	struct snoop_whereabouts *here;
	void *kn = current_kn((void *)bpf_get_current_task());
	int zero = 0;

	here = whereabouts.lookup(&zero);
	if (!here)
		return 0;
	for (int i = 0; i < SNOOP_CGROUP_DEPTH; i++) {
		void *name;

		if (!kn)
			break;
		LOAD(here->cgroups[i].id, kn, kernfs_node_id);
		name = GET(void *, kn, kernfs_node_name);
		bpf_probe_read_kernel_str(here->cgroups[i].name, SNOOP_CGROUP_NAME, name);
		kn = GET(void *, kn, kernfs_node_parent);
	}
	return 0;
}
