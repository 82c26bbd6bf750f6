/* One translation unit, compiled by BCC over stubs: for no kernel in particular, once for all (snoop_agent/compiler.py).
 * Configured by cflags: SNOOP_ATTACH_TRACEPOINT, _RAW or _VFS, SNOOP_TYPED (kernel.h), and the architecture's SNOOP_CALLS,
 * SNOOP_CALLS32, SNOOP_CALLS32_KNOWN and SNOOP_SYSCALL_NUMBER. What differs between kernels and agents are holes, filled
 * when it is loaded (kernel.h, snoop_holes.h). The compiler puts the files in quotes in place, since BCC takes for programs
 * only what stands in its main file. */
#include <snoop_holes.h>
#include "snoop.h"
#include "kernel.h"
#include "maps.h"

MAP(targets, HASH, __u64, struct snoop_target, SNOOP_TARGETS);
MAP_ARRAY_OF(configs, struct snoop_config, 1);
MAP(leaves, LRU_HASH, __u64, struct snoop_leaf, 4096);
struct executable_key {
	__u64 target;
	__u64 ino;
	__u64 dev;
};
MAP(begun, LRU_HASH, struct executable_key, __u8, 16384);

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
