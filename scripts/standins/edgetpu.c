/* A stand-in for libedgetpu.so.1: a TFLite external delegate that claims `edgetpu-custom-op` and gives back
 * the heads it is handed. Environment variables, read when the delegate is created, say how it behaves:
 *
 *   STANDIN_HEADS    file with the op's outputs, raw, one after the other; read at every invoke. Several such
 *                    records are played in turn. Without it the heads are all zero bytes.
 *   STANDIN_HOLD_MS  how long each invoke takes.
 *   STANDIN_FAIL_AT  number of the invoke of this delegate that fails, and all after it; from 1.
 *   STANDIN_HANG_AT  number of the invoke that never returns.
 *   STANDIN_HANG     a file: while it is there, an invoke that begins never returns.
 *   STANDIN_CRASH    `create`, `prepare` or `invoke`: where to crash, as a runtime that does not fit makes it.
 *   STANDIN_DEVICE   a file that is the device: held by one delegate at a time. While it is missing there is
 *                    no device, and invokes fail.
 *   STANDIN_RESET_MS how long that device is away after it was let go of (its file's time), as one on USB is.
 *   STANDIN_LOG      file that gets a line for each create (with its options), invoke and destroy.
 *
 * No wheel ships TFLite's headers, so the structs are declared here as far as they are used; members after
 * those may differ between runtimes. Source: tensorflow/lite/core/c/common.h.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef enum { kOk = 0, kError = 1 } Status;

typedef struct { int size; int data[]; } IntArray;

typedef struct {
  int type;
  void *data;
  IntArray *dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  struct Delegate *delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct { int type; void *params; } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

typedef struct {
  IntArray *inputs, *outputs, *intermediates, *temporaries;
  void *user_data;
} Node; /* only ever handed to us */

typedef struct Context Context;

typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  Status (*prepare)(Context *, Node *);
  Status (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *registration_external;
  void *async_kernel;
  uint64_t inplace_operator;
} Registration; /* passed by value, so whole */

struct Context {
  size_t tensors_size;
  Status (*GetExecutionPlan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  Status (*ResizeTensor)(Context *, Tensor *, IntArray *);
  void (*ReportError)(Context *, const char *, ...);
  Status (*AddTensors)(Context *, int, int *);
  Status (*GetNodeAndRegistration)(Context *, int, Node **, Registration **);
  Status (*ReplaceNodeSubsetsWithDelegateKernels)(Context *, Registration, const IntArray *, struct Delegate *);
}; /* only ever handed to us */

typedef struct Delegate {
  void *data;
  Status (*Prepare)(Context *, struct Delegate *);
  void *CopyFromBufferHandle, *CopyToBufferHandle, *FreeBufferHandle;
  int64_t flags;
  void *opaque_delegate_builder;
} Delegate;

typedef struct { Delegate *delegate; } DelegateParams; /* only its first member */

enum { kAllowDynamicTensors = 1, kMaxHeads = 16, kMaxPath = 4096 };

typedef struct {
  Delegate delegate;
  char heads[kMaxPath], device[kMaxPath], log[kMaxPath], hang[kMaxPath], crash[16];
  long hold_ms, fail_at, hang_at, reset_ms, invokes;
  int device_fd, outputs[kMaxHeads], output_count;
} Standin;

static void copy_env(char *to, size_t size, const char *name) {
  const char *value = getenv(name);
  snprintf(to, size, "%s", value ? value : "");
}

static long number_env(const char *name) {
  const char *value = getenv(name);
  return value ? strtol(value, NULL, 10) : 0;
}

static void note(const Standin *standin, const char *format, ...) {
  if (!standin->log[0]) return;
  FILE *file = fopen(standin->log, "a");
  if (!file) return;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(file, format, arguments);
  va_end(arguments);
  fclose(file);
}

static void crash_at(const Standin *standin, const char *place) {
  if (strcmp(standin->crash, place) == 0) raise(SIGSEGV);
}

/* The op's outputs, copied from the record whose turn it is. */
static Status give_heads(Context *context, const Standin *standin) {
  size_t total = 0;
  for (int i = 0; i < standin->output_count; i++) total += context->tensors[standin->outputs[i]].bytes;
  int file = standin->heads[0] ? open(standin->heads, O_RDONLY) : -1;
  struct stat status = {0};
  if (standin->heads[0] && (file < 0 || fstat(file, &status) || !status.st_size || status.st_size % total)) {
    context->ReportError(context, "stand-in: %s must hold records of %zu bytes", standin->heads, total);
    if (file >= 0) close(file);
    return kError;
  }
  off_t at = file < 0 ? 0 : (standin->invokes - 1) % (status.st_size / total) * total;
  Status result = kOk;
  for (int i = 0; i < standin->output_count; i++) {
    Tensor *tensor = &context->tensors[standin->outputs[i]];
    if (file < 0) memset(tensor->data, 0, tensor->bytes);
    else if (pread(file, tensor->data, tensor->bytes, at) != (ssize_t)tensor->bytes) result = kError;
    at += tensor->bytes;
  }
  if (file >= 0) close(file);
  return result;
}

static void *kernel_init(Context *context, const char *params, size_t length) {
  (void)context, (void)length;
  return ((const DelegateParams *)params)->delegate->data;
}

static void kernel_free(Context *context, void *data) { (void)context, (void)data; }

static Status kernel_prepare(Context *context, Node *node) {
  (void)context, (void)node;
  return kOk;
}

static Status kernel_invoke(Context *context, Node *node) {
  Standin *standin = node->user_data;
  standin->invokes++;
  note(standin, "invoke\n");
  crash_at(standin, "invoke");
  if (standin->hang_at && standin->invokes == standin->hang_at) for (;;) pause();
  if (standin->hang[0] && !access(standin->hang, F_OK)) for (;;) pause();
  struct timespec hold = {standin->hold_ms / 1000, standin->hold_ms % 1000 * 1000000};
  nanosleep(&hold, NULL);
  if (standin->device[0] && access(standin->device, F_OK)) {
    context->ReportError(context, "stand-in: the device is gone");
    return kError;
  }
  if (standin->fail_at && standin->invokes >= standin->fail_at) {
    context->ReportError(context, "stand-in: told to fail at invoke %d", (int)standin->invokes);
    return kError;
  }
  return give_heads(context, standin);
}

/* Claim the one op of a compiled model. */
static Status prepare(Context *context, Delegate *delegate) {
  Standin *standin = delegate->data;
  crash_at(standin, "prepare");
  IntArray *plan;
  if (context->GetExecutionPlan(context, &plan) != kOk) return kError;
  for (int i = 0; i < plan->size; i++) {
    Node *node;
    Registration *registration;
    int index = plan->data[i];
    if (context->GetNodeAndRegistration(context, index, &node, &registration) != kOk) return kError;
    if (!registration->custom_name || strcmp(registration->custom_name, "edgetpu-custom-op")) continue;
    if (node->outputs->size > kMaxHeads) return kError;
    standin->output_count = node->outputs->size;
    memcpy(standin->outputs, node->outputs->data, sizeof(int) * node->outputs->size);
    struct { int size; int data[1]; } claimed = {1, {index}};
    Registration kernel = {.init = kernel_init, .free = kernel_free, .prepare = kernel_prepare,
                           .invoke = kernel_invoke, .custom_name = "stand-in", .version = 1};
    return context->ReplaceNodeSubsetsWithDelegateKernels(context, kernel, (IntArray *)&claimed, delegate);
  }
  return kOk;
}

static bool take_device(const Standin *standin) {
  struct stat status;
  struct timespec now;
  if (standin->device_fd < 0 || flock(standin->device_fd, LOCK_EX | LOCK_NB)) return false;
  if (fstat(standin->device_fd, &status) || clock_gettime(CLOCK_REALTIME, &now)) return false;
  long away_ms = (now.tv_sec - status.st_mtim.tv_sec) * 1000 + (now.tv_nsec - status.st_mtim.tv_nsec) / 1000000;
  return away_ms >= standin->reset_ms;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  Standin *standin = calloc(1, sizeof *standin);
  if (!standin) return NULL;
  copy_env(standin->heads, sizeof standin->heads, "STANDIN_HEADS");
  copy_env(standin->device, sizeof standin->device, "STANDIN_DEVICE");
  copy_env(standin->log, sizeof standin->log, "STANDIN_LOG");
  copy_env(standin->hang, sizeof standin->hang, "STANDIN_HANG");
  copy_env(standin->crash, sizeof standin->crash, "STANDIN_CRASH");
  standin->hold_ms = number_env("STANDIN_HOLD_MS");
  standin->fail_at = number_env("STANDIN_FAIL_AT");
  standin->hang_at = number_env("STANDIN_HANG_AT");
  standin->reset_ms = number_env("STANDIN_RESET_MS");
  note(standin, "create");
  for (size_t i = 0; i < count; i++) note(standin, " %s=%s", keys[i], values[i]);
  note(standin, "\n");
  crash_at(standin, "create");
  standin->device_fd = standin->device[0] ? open(standin->device, O_RDWR | O_CLOEXEC) : -1;
  if (standin->device[0] && !take_device(standin)) {
    if (report) report("stand-in: no device");
    if (standin->device_fd >= 0) close(standin->device_fd);
    free(standin);
    return NULL;
  }
  standin->delegate = (Delegate){.data = standin, .Prepare = prepare, .flags = kAllowDynamicTensors};
  return &standin->delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {
  if (!delegate) return;
  Standin *standin = delegate->data;
  note(standin, "destroy\n");
  if (standin->device_fd >= 0) {
    futimens(standin->device_fd, NULL);
    close(standin->device_fd);
  }
  free(standin);
}

const char *edgetpu_version(void) { return "stand-in"; }
