/* Stands in for devices that are not here. The virtual camera takes its buffers from a DMA heap, which many
   kernels lack: memory files do. An AI Camera's sensor is a device whose driver takes a network and the region
   that it is to see: /check/ai/driver keeps that region, and the size of the network. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Source: the kernel's imx500.c. */
#define REGION 0x00982900
#define NETWORK 0x00982901
#define MOST 4032

struct driver {
    __u32 region[4];
    __u64 network;
};

static int open_path(const char *path, int flags, mode_t mode)
{
    if (strncmp(path, "/dev/dma_heap/", 14) == 0)
        return memfd_create("heap", MFD_CLOEXEC);
    if (strcmp(path, "/dev/v4l-subdev0") == 0)
        path = "/check/ai/driver";
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

static int set_region(int fd, const struct v4l2_ext_controls *wanted)
{
    const struct v4l2_ext_control *control = wanted->controls;
    __u32 region[4];
    if (wanted->count != 1 || control->id != REGION || control->size != sizeof region) {
        errno = EINVAL;
        return -1;
    }
    for (int side = 0; side < 4; side++)
        region[side] = control->p_u32[side] < MOST ? control->p_u32[side] : MOST;
    return pwrite(fd, region, sizeof region, offsetof(struct driver, region)) < 0 ? -1 : 0;
}

static int set_network(int fd, const struct v4l2_control *wanted)
{
    struct stat facts;
    if (wanted->id != NETWORK) {
        errno = EINVAL;
        return -1;
    }
    if (fstat(wanted->value, &facts) < 0)
        return -1;
    __u64 size = facts.st_size;
    return pwrite(fd, &size, sizeof size, offsetof(struct driver, network)) < 0 ? -1 : 0;
}

int ioctl(int fd, unsigned long given, ...)
{
    va_list rest;
    va_start(rest, given);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    unsigned int request = given; /* as the kernel takes it: Python extends its sign */
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
    if (request == VIDIOC_S_EXT_CTRLS)
        return set_region(fd, argument);
    if (request == VIDIOC_S_CTRL)
        return set_network(fd, argument);
    return syscall(SYS_ioctl, fd, request, argument);
}
