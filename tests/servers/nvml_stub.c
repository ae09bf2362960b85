/* NVML's C ABI, as far as pynvml calls it, without a GPU.
 *
 * What it shows is read at every call from the file that $NVML_STUB names:
 *
 *     init CODE                         what initialising answers, 0 is success
 *     gpu TOTAL_MIB USED_MIB MIG        one GPU; MIG is 0, 1, or -1 for "cannot"
 *     process GPU PID USED_MIB          one process on it
 *     lost GPU                          it has fallen off the bus
 *     dumb GPU                          it does not tell its memory
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB 1048576ULL
#define SUCCESS 0
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define INSUFFICIENT_SIZE 7
#define GPU_IS_LOST 15
#define UNKNOWN 999
#define MOST 16

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct {
    unsigned int pid;
    unsigned long long used;
    unsigned int gpu_instance, compute_instance;
} Process;
typedef struct { unsigned long long total, used; int mig, lost, dumb; } Gpu;
typedef struct { int gpu; Process process; } Held;

static int init_code;
static Gpu gpus[MOST];
static unsigned int gpu_count;
static Held held[256];
static int held_count;

static void look(void) {
    char line[256];
    unsigned int which;
    const char *path = getenv("NVML_STUB");
    FILE *file = path ? fopen(path, "r") : NULL;
    init_code = gpu_count = held_count = 0;
    memset(gpus, 0, sizeof gpus);
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        Gpu *gpu = &gpus[gpu_count];
        Held *one = &held[held_count];
        if (sscanf(line, "init %d", &init_code) == 1) continue;
        if (sscanf(line, "lost %u", &which) == 1 && which < MOST) gpus[which].lost = 1;
        if (sscanf(line, "dumb %u", &which) == 1 && which < MOST) gpus[which].dumb = 1;
        if (sscanf(line, "gpu %llu %llu %d", &gpu->total, &gpu->used, &gpu->mig) == 3)
            gpu_count++;
        if (sscanf(line, "process %d %u %llu", &one->gpu, &one->process.pid,
                   &one->process.used) == 3) {
            one->process.used *= MIB;
            one->process.gpu_instance = one->process.compute_instance = 0xFFFFFFFF;
            held_count++;
        }
    }
    fclose(file);
}

static long number(void *device) { return (long)device - 1; }

int nvmlInitWithFlags(unsigned int flags) { (void)flags; look(); return init_code; }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) {
    return code == 9             ? "Driver Not Loaded"
           : code == GPU_IS_LOST ? "GPU is lost"
           : code == 18          ? "Driver/library version mismatch"
                                 : "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    look();
    *count = gpu_count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    look();
    if (index >= gpu_count) return INVALID_ARGUMENT;
    if (gpus[index].lost) return GPU_IS_LOST;
    *device = (void *)(long)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *name, unsigned int length) {
    (void)device;
    snprintf(name, length, "Stub GPU");
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned int length) {
    snprintf(uuid, length, "GPU-stub-%ld", number(device));
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
    look();
    if (gpus[number(device)].dumb) return UNKNOWN;
    memory->total = gpus[number(device)].total * MIB;
    memory->used = gpus[number(device)].used * MIB;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(void *device, unsigned int *current, unsigned int *pending) {
    look();
    if (gpus[number(device)].mig < 0) return NOT_SUPPORTED;
    *current = *pending = (unsigned int)gpus[number(device)].mig;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count,
                                            Process *processes) {
    unsigned int found = 0;
    int i;
    look();
    for (i = 0; i < held_count; i++) {
        if (held[i].gpu != number(device)) continue;
        if (processes && found < *count) processes[found] = held[i].process;
        found++;
    }
    if (found && (!processes || found > *count)) {
        *count = found;
        return INSUFFICIENT_SIZE;
    }
    *count = found;
    return SUCCESS;
}
