
/* The virtual camera takes its buffers from a DMA heap, which many kernels lack: memory files do. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_path(const char *path, int flags, mode_t mode)
{
    if (strncmp(path, "/dev/dma_heap/", 14) == 0)
        return memfd_create("heap", MFD_CLOEXEC);
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)                                      \
    int name(const char *path, int flags, ...)          \
    {                                                   \
        va_list rest;                                   \
        va_start(rest, flags);                          \
        mode_t mode = va_arg(rest, mode_t);             \
        va_end(rest);                                   \
        return open_path(path, flags, mode);            \
    }
OPEN(open)
OPEN(open64)

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request == DMA_HEAP_IOCTL_ALLOC) {
        struct dma_heap_allocation_data *wanted = argument;
        int memory = memfd_create("buffer", MFD_CLOEXEC);
        if (memory < 0 || ftruncate(memory, wanted->len) < 0)
            return -1;
        wanted->fd = memory;
        return 0;
    }
    if (_IOC_TYPE(request) == DMA_BUF_BASE && _IOC_NR(request) <= _IOC_NR(DMA_BUF_SET_NAME_A))
        return 0; /* naming and cache flushing, which memory files need not */
    return syscall(SYS_ioctl, fd, request, argument);
}
