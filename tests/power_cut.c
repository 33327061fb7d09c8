/* What a disk holds after a power cut, at worst: each file as it was when it was last synced, and those that were
 * removed still there if their folder was not synced since.
 *
 * Preloaded into a process that syncs the files of one folder, it keeps that in the folder POWER_CUT names.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static void forget_removed(const char *left, const char *folder)
{
    DIR *listing = opendir(left);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        char here[2 * PATH_BYTES], kept[2 * PATH_BYTES];
        snprintf(here, sizeof here, "%s/%s", folder, entry->d_name);
        snprintf(kept, sizeof kept, "%s/%s", left, entry->d_name);
        if (entry->d_name[0] != '.' && access(here, F_OK) != 0)
            unlink(kept);
    }
    closedir(listing);
}

static void keep_file(const char *left, const char *path, int descriptor)
{
    char kept[2 * PATH_BYTES], next[2 * PATH_BYTES], block[65536];
    snprintf(kept, sizeof kept, "%s/%s", left, strrchr(path, '/') + 1);
    snprintf(next, sizeof next, "%s/.next", left);
    int out = open(next, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    off_t at = 0;
    for (ssize_t count; (count = pread(descriptor, block, sizeof block, at)) > 0; at += count)
        if (write(out, block, count) != count)
            abort();
    close(out);
    rename(next, kept);
}

static void keep(int descriptor)
{
    const char *left = getenv("POWER_CUT");
    char link[64], path[PATH_BYTES] = "";
    struct stat about;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    if (left == NULL || readlink(link, path, sizeof path - 1) < 0 || fstat(descriptor, &about) != 0)
        return;
    if (S_ISDIR(about.st_mode))
        forget_removed(left, path);
    else
        keep_file(left, path, descriptor);
}

int fsync(int descriptor)
{
    int result = syscall(SYS_fsync, descriptor);
    keep(descriptor);
    return result;
}

int fdatasync(int descriptor)
{
    int result = syscall(SYS_fdatasync, descriptor);
    keep(descriptor);
    return result;
}
