/* Maps. What BCC makes of its own declarations exists as soon as they are compiled; these are made when the programs are
 * loaded (snoop_agent/loader.py), so that one compiled object does for every kernel and every size. */

/* enum bpf_map_type in include/uapi/linux/bpf.h. */
enum {
	MAP_TYPE_HASH = 1, MAP_TYPE_ARRAY = 2, MAP_TYPE_PROG_ARRAY = 3, MAP_TYPE_PERCPU_HASH = 5,
	MAP_TYPE_PERCPU_ARRAY = 6, MAP_TYPE_LRU_HASH = 9, MAP_TYPE_ARRAY_OF_MAPS = 12, MAP_TYPE_RINGBUF = 27,
};
struct nothing {};

/* A map, and the program that tells its shape: it is read by user space, and never loaded. `entries` may be a hole. Each
 * map is itself one (kernel.h), with a number of its own. `inner`: the map whose shape a map of maps holds. The program comes
 * first: BCC writes what makes it one in front of all. */
#define MAP_OF(map, type, key, value, entries, inner)									\
	int snoop_map_##map(void *ctx)											\
	{														\
		TELL(HOLES_OF_MAPS + __COUNTER__ * HOLE_STEP);								\
		TELL(type);												\
		TELL(sizeof(key));											\
		TELL(sizeof(value));											\
		TELL(entries);												\
		TELL(inner);												\
		return 0;												\
	}														\
	enum { MAP_##map = HOLES_OF_MAPS + (__COUNTER__ - 1) * HOLE_STEP };						\
	typedef key map##_key;												\
	typedef value map##_value
#define TELL(number) ({ __u64 __told; asm volatile("%0 = %1" : "=r"(__told) : "i"(number)); })

#define MAP(map, type, key, value, entries) MAP_OF(map, MAP_TYPE_##type, key, value, entries, 0)
#define MAP_ARRAY_OF(map, value, entries) MAP(map, ARRAY, __u32, value, entries)
#define MAP_PERCPU_ARRAY_OF(map, value, entries) MAP(map, PERCPU_ARRAY, __u32, value, entries)
#define MAP_RINGBUF_OF(map, bytes) MAP(map, RINGBUF, struct nothing, struct nothing, bytes)
#define MAP_PROG_ARRAY_OF(map, entries) MAP(map, PROG_ARRAY, __u32, __u32, entries)
#define MAP_ARRAY_OF_MAPS(map, shape, entries) \
	MAP_OF(map, MAP_TYPE_ARRAY_OF_MAPS, __u32, __u32, entries, MAP_##shape)

/* Helpers on a map, by its name. */
#define ADDRESS_OF(map) ({ void *__map; asm("%0 = %1 ll" : "=r"(__map) : "i"(MAP_##map)); __map; })
#define LOOKUP(map, key) ((map##_value *)MAP_LOOKUP(ADDRESS_OF(map), (map##_key *)(key)))
#define UPDATE(map, key, value) MAP_UPDATE(ADDRESS_OF(map), (map##_key *)(key), (map##_value *)(value))
#define DELETE(map, key) (((long (*)(void *, const void *))BPF_FUNC_map_delete_elem)(ADDRESS_OF(map), key))
#define TAIL_CALL(ctx, map, index) \
	(((long (*)(void *, void *, __u64))BPF_FUNC_tail_call)(ctx, ADDRESS_OF(map), (__u32)(index)))

/* And on one that was found in another one. */
#define MAP_LOOKUP(map, key) (((void *(*)(void *, const void *))BPF_FUNC_map_lookup_elem)(map, key))
#define MAP_UPDATE(map, key, value) \
	(((long (*)(void *, const void *, const void *, __u64))BPF_FUNC_map_update_elem)(map, key, value, 0))
#define RING_OUTPUT(map, data, size) \
	(((long (*)(void *, void *, __u64, __u64))BPF_FUNC_ringbuf_output)(map, data, size, 0))
