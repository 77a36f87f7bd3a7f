/* An OpenCL driver (ICD) that presents Intel's OpenCL runtime for the CPU as an Intel GPU, so that OpenVINO's real GPU
 * plugin lists it, compiles for it and runs on it where there is no GPU. For tests and demonstrations; see README.md.
 *
 *   cc -O2 -shared -fPIC -o libfakegpu_icd.so fakegpu_icd.c -ldl -lpthread
 *
 * The loader (libOpenCL.so.1) finds it by OCL_ICD_FILENAMES. It loads the real driver, and puts its own functions into
 * the dispatch table that every OpenCL object of the real driver points to. No OpenCL headers are needed: the table's
 * slots and the constants are a fixed ABI of Khronos.
 *
 * Environment:
 *   FAKEGPU_REAL_ICD   path of libintelocl.so
 *   FAKEGPU_COUNT      GPUs that are listed (1)
 *   FAKEGPU_CACHE      folder where built programs are kept (none: each is built each time, which takes long)
 *   FAKEGPU_CACHE_RO   folder with built programs that is only read
 *   FAKEGPU_PROFILE    xe (default: architecture 12.0.0, DP4A) or gen9
 *   FAKEGPU_UMA        1 (default: integrated) or 0 (discrete)
 *   FAKEGPU_FP16       0 hides half precision
 *   FAKEGPU_CUS        compute units
 *   FAKEGPU_MEMORY     bytes of memory (the machine's)
 *   FAKEGPU_FAULT      path of a file: as long as it is there, every kernel fails with the OpenCL error code in it (-5)
 *   FAKEGPU_TRACE      1 writes builds and kernel launches to stderr
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int32_t cl_int;
typedef uint32_t cl_uint;
typedef uint64_t cl_ulong;
typedef cl_int (*info_fn)(void *, cl_uint, size_t, void *, size_t *);

enum {
    CL_SUCCESS = 0,
    CL_DEVICE_NOT_FOUND = -1,
    CL_OUT_OF_RESOURCES = -5,
    CL_INVALID_VALUE = -30,
    CL_PLATFORM_NOT_FOUND_KHR = -1001
};

enum { CL_DRIVER_VERSION = 0x102D, CL_PROGRAM_BINARY_SIZES = 0x1165, CL_PROGRAM_BINARIES = 0x1166 };
enum { CL_PROGRAM_BUILD_LOG = 0x1183, CL_KERNEL_FUNCTION_NAME = 0x1190 };
enum { DEVICE_TYPE_CPU = 2, DEVICE_TYPE_GPU = 4 };

/* Slots of the dispatch table. */
enum {
    GET_PLATFORM_INFO = 1,
    GET_DEVICE_IDS = 2,
    GET_DEVICE_INFO = 3,
    CREATE_BUFFER = 14,
    CREATE_PROGRAM_WITH_SOURCE = 26,
    CREATE_PROGRAM_WITH_BINARY = 27,
    RETAIN_PROGRAM = 28,
    BUILD_PROGRAM = 30,
    GET_PROGRAM_INFO = 32,
    GET_PROGRAM_BUILD_INFO = 33,
    GET_KERNEL_INFO = 39,
    WAIT_FOR_EVENTS = 41,
    FINISH = 47,
    ENQUEUE_ND_RANGE_KERNEL = 59,
    GET_EXTENSION_FUNCTION_ADDRESS_FOR_PLATFORM = 107,
    SLOTS = 128
};

static void *library;     /* the real driver */
static void *real[SLOTS]; /* its dispatch table as it was */
static void *device;      /* its one device */
static int tracing;
#define REAL(slot, type) ((type)real[slot])

static const char *text_setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value ? value : otherwise;
}

static cl_ulong number_setting(const char *name, cl_ulong otherwise) {
    const char *value = getenv(name);
    return value ? strtoull(value, 0, 0) : otherwise;
}

/* ---- 1. What the GPU says of itself ------------------------------------------------------------------------------ */

static cl_int answer(const void *value, size_t length, size_t room, void *out, size_t *needed) {
    if (needed)
        *needed = length;
    if (out) {
        if (room < length)
            return CL_INVALID_VALUE;
        memcpy(out, value, length);
    }
    return CL_SUCCESS;
}

static cl_int get_extensions(void *dev, cl_uint what, size_t room, void *out, size_t *needed) {
    char list[16384];
    size_t length = 0;
    cl_int error = REAL(GET_DEVICE_INFO, info_fn)(dev, what, sizeof list, list, &length);
    char *half;
    if (error)
        return error;
    if (!number_setting("FAKEGPU_FP16", 1) && (half = strstr(list, "cl_khr_fp16")))
        half[7] = 'X';
    return answer(list, length, room, out, needed);
}

static cl_int get_device_info(void *dev, cl_uint what, size_t room, void *out, size_t *needed) {
    const int gen9 = !strcmp(text_setting("FAKEGPU_PROFILE", "xe"), "gen9");
    const char *name = gen9 ? "Intel(R) HD Graphics 620 (emulated)" : "Intel(R) Iris(R) Xe Graphics (emulated)";
    device = dev;
#define UINT(value) do { cl_uint v = (value); return answer(&v, sizeof v, room, out, needed); } while (0)
#define ULONG(value) do { cl_ulong v = (value); return answer(&v, sizeof v, room, out, needed); } while (0)
#define TEXT(value) do { const char *v = (value); return answer(v, strlen(v) + 1, room, out, needed); } while (0)
    switch (what) {
    case 0x1000: ULONG(DEVICE_TYPE_GPU);                                  /* TYPE */
    case 0x1001: UINT(0x8086);                                            /* VENDOR_ID */
    case 0x1002: UINT(number_setting("FAKEGPU_CUS", gen9 ? 24 : 96));     /* MAX_COMPUTE_UNITS */
    case 0x1004: ULONG(gen9 ? 256 : 512);                                 /* MAX_WORK_GROUP_SIZE */
    case 0x100C: UINT(1300);                                              /* MAX_CLOCK_FREQUENCY, MHz */
    case 0x101F: /* GLOBAL_MEM_SIZE */
        if (!getenv("FAKEGPU_MEMORY"))
            return REAL(GET_DEVICE_INFO, info_fn)(dev, what, room, out, needed);
        ULONG(number_setting("FAKEGPU_MEMORY", 0));
    case 0x1023: ULONG(65536);                                            /* LOCAL_MEM_SIZE */
    case 0x102B: TEXT(name);                                              /* NAME */
    case CL_DRIVER_VERSION: TEXT("25.18.33578");
    case 0x1030: return get_extensions(dev, what, room, out, needed);     /* EXTENSIONS */
    case 0x1035: UINT(number_setting("FAKEGPU_UMA", 1));                  /* HOST_UNIFIED_MEMORY */
    case 0x4108: {                                                        /* SUB_GROUP_SIZES_INTEL */
        const size_t sizes[3] = {8, 16, 32};
        return answer(sizes, sizeof sizes, room, out, needed);
    }
    case 0x4250: UINT((gen9 ? 9u : 12u) << 22);                           /* IP_VERSION_INTEL */
    case 0x4251: UINT(gen9 ? 0x5916 : 0x9A49);                            /* ID_INTEL */
    case 0x4252: UINT(1);                                                 /* NUM_SLICES_INTEL */
    case 0x4253: UINT(gen9 ? 3 : 6);                                      /* NUM_SUB_SLICES_PER_SLICE_INTEL */
    case 0x4254: UINT(gen9 ? 8 : 16);                                     /* NUM_EUS_PER_SUB_SLICE_INTEL */
    case 0x4255: UINT(7);                                                 /* NUM_THREADS_PER_EU_INTEL */
    case 0x4256: ULONG(gen9 ? 0 : 1); /* FEATURE_CAPABILITIES_INTEL: DP4A; never DPAS, which would take oneDNN's way */
    default: return REAL(GET_DEVICE_INFO, info_fn)(dev, what, room, out, needed);
    }
#undef UINT
#undef ULONG
#undef TEXT
}

/* The CPU is the GPU, as often as is asked for; there is no CPU device. */
static cl_int get_device_ids(void *platform, cl_ulong type, cl_uint room, void **out, cl_uint *count) {
    void *found[8];
    cl_uint there = 0, gpus = number_setting("FAKEGPU_COUNT", 1);
    if (type & DEVICE_TYPE_GPU)
        type |= DEVICE_TYPE_CPU;
    else if (type & DEVICE_TYPE_CPU)
        return CL_DEVICE_NOT_FOUND;
    cl_int error = REAL(GET_DEVICE_IDS, cl_int (*)(void *, cl_ulong, cl_uint, void **, cl_uint *))(platform, type, 8, found, &there);
    if (error || !there)
        return error;
    if (count)
        *count = gpus;
    for (cl_uint i = 0; out && i < room && i < gpus; i++)
        out[i] = found[0];
    return CL_SUCCESS;
}

/* ---- 2. Programs: order of work items, lifetime, build options, cache -------------------------------------------- */

/* Intel's GPUs form sub-groups along the linear local id (x, then y, then z); the CPU runtime only along dimension 0. So
 * every launch of a work-group with several dimensions is made flat, and the id functions are computed from the original
 * local size, which travels as the global offset (OpenVINO uses none). */
static const char PRELUDE[] =
    "#define FG_ static size_t __attribute__((always_inline))\n"
    "FG_ fg_lid(uint d){uint x=get_global_offset(0);if(!x)return get_local_id(d);"
    "uint y=get_global_offset(1),t=get_local_id(0);return d==0?t%x:d==1?(t/x)%y:t/(x*y);}\n"
    "FG_ fg_lsz(uint d){return get_global_offset(0)?get_global_offset(d):get_local_size(d);}\n"
    "FG_ fg_gid(uint d){return get_global_offset(0)?get_group_id(d)*get_global_offset(d)+fg_lid(d):get_global_id(d);}\n"
    "FG_ fg_gsz(uint d){return get_global_offset(0)?get_num_groups(d)*get_global_offset(d):get_global_size(d);}\n"
    "#undef FG_\n"
    "#define get_local_id(d) fg_lid(d)\n"
    "#define get_global_id(d) fg_gid(d)\n"
    "#define get_local_size(d) fg_lsz(d)\n"
    "#define get_enqueued_local_size(d) fg_lsz(d)\n"
    "#define get_global_size(d) fg_gsz(d)\n"
    "#define get_global_offset(d) 0\n"
    "#define get_global_linear_id() ((fg_gid(2)*fg_gsz(1)+fg_gid(1))*fg_gsz(0)+fg_gid(0))\n"
    "#define reqd_work_group_size(x,y,z) reqd_work_group_size((x)*(y)*(z),1,1)\n"
    "#line 1\n";

/* Programs made from source, until they are built and kept. */
enum { PENDING = 4096 };
static struct { void *program; cl_ulong hash; } pending[PENDING];
static unsigned pending_count;

static cl_ulong hash_bytes(cl_ulong hash, const char *bytes, size_t length) { /* FNV-1a */
    while (length--)
        hash = (hash ^ (unsigned char)*bytes++) * 1099511628211ull;
    return hash;
}

/* A program built by another version of the real driver is another program. */
static cl_ulong hash_start(void) {
    char version[256] = "";
    cl_ulong hash = hash_bytes(14695981039346656037ull, PRELUDE, sizeof PRELUDE);
    if (device)
        REAL(GET_DEVICE_INFO, info_fn)(device, CL_DRIVER_VERSION, sizeof version, version, 0);
    return hash_bytes(hash, version, strlen(version));
}

static void cache_path(char *path, size_t room, const char *folder, cl_ulong hash) {
    snprintf(path, room, "%s/%016lx.bin", folder, (unsigned long)hash);
}

/* The CPU runtime makes a program's handle invalid at the user's last release although kernels still use it: keep one. */
static void *keep(void *program) {
    if (program)
        REAL(RETAIN_PROGRAM, cl_int (*)(void *))(program);
    return program;
}

static void *create_with_binary(void *context, cl_uint count, void **devices, const size_t *lengths,
                                const unsigned char **binaries, cl_int *status, cl_int *error) {
    return keep(REAL(CREATE_PROGRAM_WITH_BINARY, void *(*)(void *, cl_uint, void **, const size_t *, const unsigned char **,
                                                           cl_int *, cl_int *))(context, count, devices, lengths, binaries, status, error));
}

static void *load_cached(void *context, const char *folder, cl_ulong hash) {
    char path[4096];
    struct stat info;
    void *program = 0;
    if (!folder || !device)
        return 0;
    cache_path(path, sizeof path, folder, hash);
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    unsigned char *binary = fstat(fileno(file), &info) ? 0 : malloc(info.st_size + 1);
    if (binary) {
        const unsigned char *start = binary;
        size_t length = fread(binary, 1, info.st_size, file);
        cl_int status = -1, error = -1;
        program = create_with_binary(context, 1, &device, &length, &start, &status, &error);
        if (error)
            program = 0; /* built for another CPU: build it anew */
        free(binary);
    }
    fclose(file);
    return program;
}

static void *create_with_source(void *context, cl_uint count, const char **sources, const size_t *lengths, cl_int *error) {
    const char **parts = calloc(count + 1, sizeof *parts);
    size_t *part_lengths = calloc(count + 1, sizeof *part_lengths);
    cl_ulong hash = hash_start();
    parts[0] = PRELUDE;
    part_lengths[0] = sizeof PRELUDE - 1;
    for (cl_uint i = 0; i < count; i++) {
        parts[i + 1] = sources[i];
        part_lengths[i + 1] = lengths && lengths[i] ? lengths[i] : strlen(sources[i]);
        hash = hash_bytes(hash, sources[i], part_lengths[i + 1]);
    }
    void *program = load_cached(context, getenv("FAKEGPU_CACHE_RO"), hash);
    if (!program)
        program = load_cached(context, getenv("FAKEGPU_CACHE"), hash);
    if (program) {
        if (error)
            *error = CL_SUCCESS;
    } else {
        program = keep(REAL(CREATE_PROGRAM_WITH_SOURCE, void *(*)(void *, cl_uint, const char **, const size_t *, cl_int *))(
            context, count + 1, parts, part_lengths, error));
        if (program && getenv("FAKEGPU_CACHE")) {
            unsigned i = __sync_fetch_and_add(&pending_count, 1) % PENDING;
            pending[i].hash = hash;
            pending[i].program = program;
        }
    }
    free(parts);
    free(part_lengths);
    return program;
}

static void store(void *program) {
    const char *folder = getenv("FAKEGPU_CACHE");
    for (unsigned i = 0; folder && i < PENDING; i++) {
        if (pending[i].program != program)
            continue;
        char path[4096], part[4200];
        size_t length = 0;
        REAL(GET_PROGRAM_INFO, info_fn)(program, CL_PROGRAM_BINARY_SIZES, sizeof length, &length, 0);
        unsigned char *binary = malloc(length + 1);
        REAL(GET_PROGRAM_INFO, info_fn)(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, 0);
        cache_path(path, sizeof path, folder, pending[i].hash);
        snprintf(part, sizeof part, "%s.%d.%u", path, (int)getpid(), i);
        FILE *file = fopen(part, "wb");
        if (file) { /* a cache that can't be written is none */
            int whole = fwrite(binary, 1, length, file) == length;
            if (fclose(file) || !whole || rename(part, path))
                unlink(part);
        }
        free(binary);
        pending[i].program = 0;
        return;
    }
}

/* Only Intel's compiler for GPUs knows the options -cl-intel-*. */
static char *drop_intel_options(const char *options) {
    char *kept = malloc((options ? strlen(options) : 0) + 2), *end = kept;
    for (const char *word = options ? options : ""; *word; word += strspn(word, " ")) {
        size_t length = strcspn(word, " ");
        if (length && strncmp(word, "-cl-intel-", 10)) {
            memcpy(end, word, length);
            end += length;
            *end++ = ' ';
        }
        word += length;
    }
    *end = 0;
    return kept;
}

static void trace_build(void *program, void *dev, const char *options, cl_int error) {
    char *log = calloc(1, 1 << 20);
    if (error && dev)
        REAL(GET_PROGRAM_BUILD_INFO, cl_int (*)(void *, void *, cl_uint, size_t, void *, size_t *))(
            program, dev, CL_PROGRAM_BUILD_LOG, 1 << 20, log, 0);
    fprintf(stderr, "fakegpu: build [%s] -> %d %s\n", options, error, log);
    free(log);
}

static cl_int build_program(void *program, cl_uint count, void **devices, const char *options, void *callback, void *data) {
    char *kept = drop_intel_options(options);
    cl_int error = REAL(BUILD_PROGRAM, cl_int (*)(void *, cl_uint, void **, const char *, void *, void *))(
        program, count, devices, kept, callback, data);
    if (tracing)
        trace_build(program, count ? devices[0] : 0, kept, error);
    if (!error)
        store(program);
    free(kept);
    return error;
}

/* The error code of a GPU that fails now, else 0. */
static cl_int fault(void) {
    const char *path = getenv("FAKEGPU_FAULT");
    FILE *file = path ? fopen(path, "r") : NULL;
    int code = 0;
    if (file) {
        if (fscanf(file, "%d", &code) != 1)
            code = CL_OUT_OF_RESOURCES;
        fclose(file);
    }
    return code;
}

static cl_int enqueue_kernel(void *queue, void *kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
                             const size_t *local, cl_uint wait_count, void **wait, void **event) {
    size_t flat_global[3], flat_local[3] = {1, 1, 1}, original_local[3] = {1, 1, 1};
    cl_int failing = fault();
    if (failing)
        return failing;
    if (tracing) {
        char name[512] = "";
        REAL(GET_KERNEL_INFO, info_fn)(kernel, CL_KERNEL_FUNCTION_NAME, sizeof name, name, 0);
        fprintf(stderr, "fakegpu: run %s\n", name);
    }
    if (local && !offset && dimensions > 1 && local[1] * (dimensions > 2 ? local[2] : 1) > 1) {
        for (cl_uint i = 0; i < dimensions; i++) {
            original_local[i] = local[i];
            flat_local[0] *= local[i];
            flat_global[i] = global[i] / local[i];
        }
        flat_global[0] *= flat_local[0];
        offset = original_local;
        global = flat_global;
        local = flat_local;
    }
    return REAL(ENQUEUE_ND_RANGE_KERNEL, cl_int (*)(void *, void *, cl_uint, const size_t *, const size_t *, const size_t *,
                                                    cl_uint, void **, void **))(queue, kernel, dimensions, offset, global, local,
                                                                                wait_count, wait, event);
}

/* ---- 3. Memory: kernels may read a little past a buffer's end, harmless on a GPU, fatal here: pad each one ------- */

enum { PAD = 1 << 18 };
typedef void *(*host_alloc_fn)(void *, const cl_ulong *, size_t, cl_uint, cl_int *);
typedef void *(*device_alloc_fn)(void *, void *, const cl_ulong *, size_t, cl_uint, cl_int *);
static host_alloc_fn real_host_alloc;
static device_alloc_fn real_device_alloc, real_shared_alloc;

static void *zeroed(void *memory, size_t length) { return memory ? memset(memory, 0, length) : memory; }

static void *host_alloc(void *context, const cl_ulong *properties, size_t length, cl_uint align, cl_int *error) {
    return zeroed(real_host_alloc(context, properties, length + PAD, align, error), length + PAD);
}

static void *device_alloc(void *context, void *dev, const cl_ulong *properties, size_t length, cl_uint align, cl_int *error) {
    return zeroed(real_device_alloc(context, dev, properties, length + PAD, align, error), length + PAD);
}

static void *shared_alloc(void *context, void *dev, const cl_ulong *properties, size_t length, cl_uint align, cl_int *error) {
    return zeroed(real_shared_alloc(context, dev, properties, length + PAD, align, error), length + PAD);
}

static void *create_buffer(void *context, cl_ulong flags, size_t length, void *host, cl_int *error) {
    return REAL(CREATE_BUFFER, void *(*)(void *, cl_ulong, size_t, void *, cl_int *))(context, flags, host ? length : length + PAD, host,
                                                                                      error);
}

static void *get_extension_function(void *platform, const char *name) {
    void *function = REAL(GET_EXTENSION_FUNCTION_ADDRESS_FOR_PLATFORM, void *(*)(void *, const char *))(platform, name);
    if (function && !strcmp(name, "clHostMemAllocINTEL")) {
        real_host_alloc = (host_alloc_fn)function;
        return (void *)host_alloc;
    }
    if (function && !strcmp(name, "clDeviceMemAllocINTEL")) {
        real_device_alloc = (device_alloc_fn)function;
        return (void *)device_alloc;
    }
    if (function && !strcmp(name, "clSharedMemAllocINTEL")) {
        real_shared_alloc = (device_alloc_fn)function;
        return (void *)shared_alloc;
    }
    return function;
}

/* ---- 4. Waiting: two threads that wait in the CPU runtime can block each other for ever: one at a time ----------- */

static pthread_mutex_t waiting = PTHREAD_MUTEX_INITIALIZER;

static cl_int wait_for_events(cl_uint count, void **events) {
    pthread_mutex_lock(&waiting);
    cl_int error = REAL(WAIT_FOR_EVENTS, cl_int (*)(cl_uint, void **))(count, events);
    pthread_mutex_unlock(&waiting);
    return error;
}

static cl_int finish(void *queue) {
    pthread_mutex_lock(&waiting);
    cl_int error = REAL(FINISH, cl_int (*)(void *))(queue);
    pthread_mutex_unlock(&waiting);
    return error;
}

/* ---- 5. What the loader calls ------------------------------------------------------------------------------------ */

static void load_real_driver(void) {
    if (library)
        return;
    tracing = getenv("FAKEGPU_TRACE") != NULL;
    if (getenv("FAKEGPU_CACHE"))
        mkdir(getenv("FAKEGPU_CACHE"), 0777);
    library = dlopen(text_setting("FAKEGPU_REAL_ICD", "libintelocl.so"), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fprintf(stderr, "fakegpu: %s\n", dlerror());
}

static void patch_platform(void *platform) {
    static const struct { int slot; void *function; } ours[] = {
        {GET_DEVICE_IDS, (void *)get_device_ids},
        {GET_DEVICE_INFO, (void *)get_device_info},
        {CREATE_BUFFER, (void *)create_buffer},
        {CREATE_PROGRAM_WITH_SOURCE, (void *)create_with_source},
        {CREATE_PROGRAM_WITH_BINARY, (void *)create_with_binary},
        {BUILD_PROGRAM, (void *)build_program},
        {WAIT_FOR_EVENTS, (void *)wait_for_events},
        {FINISH, (void *)finish},
        {ENQUEUE_ND_RANGE_KERNEL, (void *)enqueue_kernel},
        {GET_EXTENSION_FUNCTION_ADDRESS_FOR_PLATFORM, (void *)get_extension_function},
    };
    void **table = *(void ***)platform; /* the first word of every OpenCL object */
    if (table[GET_DEVICE_INFO] == (void *)get_device_info)
        return;
    memcpy(real, table, sizeof real);
    if (mprotect((void *)((uintptr_t)table & ~4095ul), 8192, PROT_READ | PROT_WRITE))
        perror("fakegpu: mprotect");
    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++)
        table[ours[i].slot] = ours[i].function;
}

cl_int clIcdGetPlatformIDsKHR(cl_uint room, void **platforms, cl_uint *count) {
    typedef cl_int (*platform_ids_fn)(cl_uint, void **, cl_uint *);
    load_real_driver();
    if (!library)
        return CL_PLATFORM_NOT_FOUND_KHR;
    void *(*lookup)(const char *) = (void *(*)(const char *))dlsym(library, "clGetExtensionFunctionAddress");
    platform_ids_fn get = (platform_ids_fn)(lookup ? lookup("clIcdGetPlatformIDsKHR") : 0);
    if (!get)
        get = (platform_ids_fn)dlsym(library, "clGetPlatformIDs");
    cl_uint there = 0;
    cl_int error = get(room, platforms, &there);
    if (count)
        *count = there;
    for (cl_uint i = 0; !error && platforms && i < there && i < room; i++)
        patch_platform(platforms[i]);
    return error;
}

void *clGetExtensionFunctionAddress(const char *name) {
    load_real_driver();
    if (!strcmp(name, "clIcdGetPlatformIDsKHR"))
        return (void *)clIcdGetPlatformIDsKHR;
    void *(*lookup)(const char *) = library ? (void *(*)(const char *))dlsym(library, "clGetExtensionFunctionAddress") : 0;
    return lookup ? lookup(name) : 0;
}

cl_int clGetPlatformInfo(void *platform, cl_uint what, size_t room, void *out, size_t *needed) {
    return ((info_fn)(*(void ***)platform)[GET_PLATFORM_INFO])(platform, what, room, out, needed);
}
