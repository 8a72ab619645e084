/* A libnvidia-ml.so.1 that says what a text file says, so that the real pynvml can be tested.
 *
 * The file is named by FAKE_NVML_STATE and read anew at every call; replace it atomically.
 * Lines are "<gpu|*> <key> <value>":
 *   * init CODE        nvmlInit returns CODE         * count N     listed GPUs
 *   * driver TEXT      driver version                * hang 1      every call waits for ever
 *   * crash 1          every call aborts             * fail CODE   the count returns CODE
 *   G lost 1           every call on G says so       G used BYTES  G total BYTES
 *   G util PERCENT     G temp C     G power MW       (a value of "-" is not supported)
 *   G action N         recovery action               G rows 1      row remapping failed
 *   G name TEXT
 *   G xid CODE SERIAL  a fault, told once for each new SERIAL
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TIMEOUT = 10, LOST = 15 };
#define GPUS 16

typedef struct { int number; } *device_t;
static struct { int number; } gpus[GPUS];
static long told[GPUS];

static int look(const char *who, const char *key, char *value, size_t size) {
    const char *path = getenv("FAKE_NVML_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[512], name[16], word[32], rest[256];
    int found = 0;
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%15s %31s %255[^\n]", name, word, rest) != 3) continue;
        if (strcmp(name, who) || strcmp(word, key)) continue;
        snprintf(value, size, "%s", rest);
        found = 1;
    }
    fclose(file);
    return found;
}

static long number(const char *who, const char *key, long fallback) {
    char value[256];
    return look(who, key, value, sizeof value) ? atol(value) : fallback;
}

static void trouble(void) {
    if (number("*", "crash", 0)) abort();
    while (number("*", "hang", 0)) sleep(1000);
}

static int at(device_t device, char *who) {
    trouble();
    snprintf(who, 16, "%d", device->number);
    return number(who, "lost", 0) ? LOST : OK;
}

static int told_of(device_t device, const char *key, long fallback, long *out) {
    char who[16], value[256];
    int code = at(device, who);
    if (code) return code;
    if (!look(who, key, value, sizeof value)) { *out = fallback; return OK; }
    if (!strcmp(value, "-")) return NOT_SUPPORTED;
    *out = atol(value);
    return OK;
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; trouble(); return (int)number("*", "init", OK); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "fake error"; }

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    trouble();
    if (!look("*", "driver", out, size)) snprintf(out, size, "580.00.01");
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *out) {
    trouble();
    *out = (unsigned)number("*", "count", 2);
    return (int)number("*", "fail", OK);
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *out) {
    char who[16];
    trouble();
    if (index >= (unsigned)number("*", "count", 2) || index >= GPUS) return INVALID;
    gpus[index].number = (int)index;
    *out = (device_t)&gpus[index];
    return at(*out, who);
}

int nvmlDeviceGetUUID(device_t device, char *out, unsigned size) {
    char who[16];
    int code = at(device, who);
    if (code) return code;
    snprintf(out, size, "GPU-00000000-0000-0000-0000-00000000000%d", device->number);
    return OK;
}

int nvmlDeviceGetName(device_t device, char *out, unsigned size) {
    char who[16];
    int code = at(device, who);
    if (!look(who, "name", out, size)) snprintf(out, size, "NVIDIA Fake H100");
    return code;
}

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory2_t;

int nvmlDeviceGetMemoryInfo_v2(device_t device, memory2_t *out) {
    long total, used;
    int code = told_of(device, "total", 85520809984L, &total);
    if (!code) code = told_of(device, "used", 1073741824L, &used);
    if (code) return code;
    if (out->version != 0x02000028) return 25;
    out->total = (unsigned long long)total;
    out->used = (unsigned long long)used;
    out->reserved = 536870912ULL;
    out->free = out->total - out->used - out->reserved;
    return OK;
}

int nvmlDeviceGetUtilizationRates(device_t device, unsigned *out) {
    long value;
    int code = told_of(device, "util", 7, &value);
    if (!code) { out[0] = (unsigned)value; out[1] = 1; }
    return code;
}

int nvmlDeviceGetTemperature(device_t device, int sensor, unsigned *out) {
    long value;
    int code = told_of(device, "temp", 41, &value);
    (void)sensor;
    if (!code) *out = (unsigned)value;
    return code;
}

int nvmlDeviceGetPowerUsage(device_t device, unsigned *out) {
    long value;
    int code = told_of(device, "power", 71000, &value);
    if (!code) *out = (unsigned)value;
    return code;
}

int nvmlDeviceGetCudaComputeCapability(device_t device, int *major, int *minor) {
    char who[16];
    *major = 9;
    *minor = 0;
    return at(device, who);
}

int nvmlDeviceGetEccMode(device_t device, unsigned *now, unsigned *later) {
    char who[16];
    *now = *later = 1;
    return at(device, who);
}

int nvmlDeviceGetMigMode(device_t device, unsigned *now, unsigned *later) {
    (void)device; (void)now; (void)later;
    return NOT_SUPPORTED;
}

int nvmlDeviceGetRemappedRows(device_t device, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    long value;
    int code = told_of(device, "rows", 0, &value);
    *a = *b = *c = 0;
    if (!code) *d = (unsigned)value;
    return code;
}

typedef struct {
    unsigned field, scope;
    int64_t timestamp, latency;
    int type, code;
    union { double d; unsigned u; unsigned long long ull; } value;
} field_t;

int nvmlDeviceGetFieldValues(device_t device, int count, field_t *values) {
    long value = 0;
    int code = told_of(device, "action", 0, &value);
    if (code == LOST) return code;
    for (int i = 0; i < count; i++) {
        values[i].code = code;
        values[i].value.u = (unsigned)value;
    }
    return OK;
}

typedef struct {
    device_t device;
    unsigned long long type, data;
    unsigned gpu_instance, compute_instance;
} event_t;

int nvmlEventSetCreate(void **out) { *out = told; return OK; }
int nvmlEventSetFree(void *set) { (void)set; return OK; }
int nvmlDeviceGetSupportedEventTypes(device_t device, unsigned long long *out) {
    char who[16];
    *out = ~0ULL;
    return at(device, who);
}
int nvmlDeviceRegisterEvents(device_t device, unsigned long long kinds, void *set) {
    char who[16];
    (void)kinds; (void)set;
    return at(device, who);
}

int nvmlEventSetWait_v2(void *set, event_t *out, unsigned timeout_ms) {
    (void)set;
    for (unsigned waited = 0; waited < timeout_ms; waited += 10) {
        for (int i = 0; i < GPUS; i++) {
            char who[16], value[256];
            long code, serial;
            snprintf(who, sizeof who, "%d", i);
            if (!look(who, "xid", value, sizeof value)) continue;
            if (sscanf(value, "%ld %ld", &code, &serial) != 2 || serial <= told[i]) continue;
            told[i] = serial;
            gpus[i].number = i;
            memset(out, 0, sizeof *out);
            out->device = (device_t)&gpus[i];
            out->type = 8;
            out->data = (unsigned long long)code;
            return OK;
        }
        usleep(10000);
    }
    return TIMEOUT;
}
