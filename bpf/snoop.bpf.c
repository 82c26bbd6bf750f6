/* One translation unit, compiled by BCC over the stubs and the offsets of the running kernel (snoop_offsets.h).
 * Configured by cflags: SNOOP_ATTACH_TRACEPOINT, _RAW or _VFS, SNOOP_RING_PAGES, SNOOP_SEEN_ENTRIES, SNOOP_WALK_MAX,
 * SNOOP_CALLS, SNOOP_CALLS32, SNOOP_CALLS32_KNOWN, SNOOP_SYSCALL_NUMBER, where requests of io_uring can be told
 * SNOOP_URING and SNOOP_URING_ARGUMENT, and where bpf_task_pt_regs is missing SNOOP_REGS_ON_STACK. snoop_agent.compiler
 * puts the files in quotes in place, since BCC rewrites only what stands in its main file. */
#include <snoop_offsets.h>
#include "snoop.h"
#include "kernel.h"

BPF_HASH(targets, __u64, struct snoop_target, SNOOP_TARGETS);
BPF_ARRAY(configs, struct snoop_config, 1);
BPF_F_TABLE("lru_hash", __u64, struct snoop_leaf, leaves, 4096, 0);
struct executable_key {
	__u64 target;
	__u64 ino;
	__u64 dev;
};
BPF_F_TABLE("lru_hash", struct executable_key, __u8, begun, 16384, 0);

#include "identity.h"
#include "path.h"
#include "scratch.h"
#include "walk.h"
#include "observe.h"
#include "calls.h"
#include "hooks_exec.h"
#ifdef SNOOP_ATTACH_VFS
#include "hooks_vfs.h"
#else
#include "hooks_syscalls.h"
#include "hooks_uring.h"
#endif
#include "sweep.h"
#include "whereabouts.h"
