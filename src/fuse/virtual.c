/*
 * virtual.c - the directory .hexad in the root: reachable by name, never listed; status, status.json and metrics.
 *
 * Not in the volume, cannot be changed, readable also when the mount is fenced.  A file says what was true when
 * it was opened; its size shows as 0, as in /proc.  The name is reserved: nothing else in the root can have it.
 * Memory: the text of each open file.
 */
#include "fuse_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIR_NAME ".hexad"

static const struct virtual_file {
    const char *name;
    char *(*text)(struct hx_vol *v, const struct hx_vol_usage *u);
} files[] = {
    {"status", hx_vol_status_text},
    {"status.json", hx_vol_status_json},
    {"metrics", hx_vol_metrics},
};

bool hx_virt_is_name(uint64_t dir, const char *name)
{
    return dir == HX_FS_ROOT && strcmp(name, DIR_NAME) == 0;
}

static void fill_stat(uint64_t ino, struct stat *st)
{
    bool is_dir = ino == HX_VIRT_BASE;
    *st = (struct stat){
        .st_ino = ino,
        .st_mode = is_dir ? S_IFDIR | 0555 : S_IFREG | 0444,
        .st_nlink = is_dir ? 2 : 1,
        .st_uid = getuid(),
        .st_gid = getgid(),
        .st_blksize = HX_PAGE_SIZE,
    };
    clock_gettime(CLOCK_REALTIME, &st->st_mtim);
    st->st_atim = st->st_ctim = st->st_mtim;
}

void hx_virt_lookup(fuse_req_t fr, uint64_t dir, const char *name)
{
    struct fuse_entry_param e = {.generation = 1};
    if (dir == HX_FS_ROOT)
        e.ino = HX_VIRT_BASE;
    for (size_t i = 0; dir == HX_VIRT_BASE && i < HX_ARRAY_LEN(files); i++)
        if (strcmp(name, files[i].name) == 0)
            e.ino = HX_VIRT_BASE + 1 + i;
    if (e.ino == 0) {
        fuse_reply_err(fr, ENOENT);
        return;
    }
    fill_stat(e.ino, &e.attr);
    fuse_reply_entry(fr, &e);
}

void hx_virt_getattr(fuse_req_t fr, uint64_t ino)
{
    struct stat st;
    fill_stat(ino, &st);
    fuse_reply_attr(fr, &st, 0);
}

void hx_virt_open(fuse_req_t fr, uint64_t ino, struct fuse_file_info *fi)
{
    struct hx_mount *m = hx_mount_of(fr);
    uint64_t index = ino - HX_VIRT_BASE - 1;
    struct hx_vol_usage u;
    if ((fi->flags & O_ACCMODE) != O_RDONLY || index >= HX_ARRAY_LEN(files)) {
        fuse_reply_err(fr, EACCES);
        return;
    }
    struct hx_file *f = hx_file_new(m, ino, O_RDONLY);
    if (f) {
        hx_usage(m, &u);
        f->text = files[index].text(m->vol, &u);
    }
    if (!f || !f->text) {
        if (f)
            hx_file_free(m, f);
        fuse_reply_err(fr, ENOMEM);
        return;
    }
    f->text_len = strlen(f->text);
    fi->fh = (uint64_t)(uintptr_t)f;
    fi->direct_io = fi->noflush = 1;
    if (fuse_reply_open(fr, fi))
        hx_file_free(m, f);
}

void hx_virt_read(fuse_req_t fr, const struct hx_file *f, size_t size, off_t off)
{
    if (off < 0 || (uint64_t)off >= f->text_len) {
        fuse_reply_buf(fr, NULL, 0);
        return;
    }
    size_t left = f->text_len - (size_t)off;
    fuse_reply_buf(fr, f->text + off, size < left ? size : left);
}

void hx_virt_readdir(fuse_req_t fr, uint64_t ino, size_t size, off_t off, bool plus)
{
    char buf[1024];
    size_t used = 0, cap = size < sizeof buf ? size : sizeof buf;
    if (ino != HX_VIRT_BASE) {
        fuse_reply_err(fr, ENOTDIR);
        return;
    }
    for (size_t i = (size_t)off; i < 2 + HX_ARRAY_LEN(files); i++) {
        struct fuse_entry_param e = {.ino = i < 2 ? 0 : HX_VIRT_BASE + i - 1, .generation = 1};
        const char *name = i == 0 ? "." : i == 1 ? ".." : files[i - 2].name;
        fill_stat(i < 2 ? HX_VIRT_BASE : e.ino, &e.attr);
        size_t need = plus ? fuse_add_direntry_plus(fr, buf + used, cap - used, name, &e, (off_t)i + 1)
                           : fuse_add_direntry(fr, buf + used, cap - used, name, &e.attr, (off_t)i + 1);
        if (need > cap - used)
            break;
        used += need;
    }
    fuse_reply_buf(fr, buf, used);
}
