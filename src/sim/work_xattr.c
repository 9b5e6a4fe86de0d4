/*
 * work_xattr.c - reading extended attributes, and the judgement of what is read (work_run.c sets them).
 */
#include "work_private.h"

#include <string.h>

int hx_work_xget(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    uint8_t *want = w->buf + HX_WORK_BUF / 2;
    size_t len = 0;
    int rc = hx_fs_getxattr(w->fs, p->act.ino, hx_tree_xattr_name(p->act.name), w->buf, HX_FS_XATTR_VALUE_MAX, &len);
    if (hx_work_must_wait(rc) || !hx_work_judge(p, rc))
        return rc;
    const struct hx_xattr_value *v = &hx_tree_node(w->tree, p->act.ino)->attrs[p->act.name];
    if (len != v->len1 - 1) {
        hx_work_wrong(p, "%zu bytes of an attribute instead of %u", len, v->len1 - 1);
        return 0;
    }
    hx_tree_xattr_fill(p->act.name, v->tag, want, len);
    if (memcmp(want, w->buf, len) != 0)
        hx_work_wrong(p, "wrong value of attribute %u", p->act.name);
    return 0;
}

/* Which attribute TEXT is; HX_XATTR_NAMES: none of ours. */
static uint32_t number_of(const char *text)
{
    uint32_t i = 0;
    while (i < HX_XATTR_NAMES && strcmp(text, hx_tree_xattr_name(i)) != 0)
        i++;
    return i;
}

int hx_work_xlist(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    char *list = (char *)w->buf;
    unsigned seen = 0, want = 0;
    size_t len = 0;
    int rc = hx_fs_listxattr(w->fs, p->act.ino, true, list, HX_FS_XATTR_LIST_MAX, &len);
    if (hx_work_must_wait(rc) || !hx_work_judge(p, rc))
        return rc;
    const struct hx_tree_inode *n = hx_tree_node(w->tree, p->act.ino);
    for (unsigned i = 0; i < HX_XATTR_NAMES; i++)
        want |= n->attrs[i].len1 ? 1u << i : 0;
    for (const char *at = list; at < list + len; at += strlen(at) + 1) {
        unsigned bit = 1u << number_of(at);
        if (seen & bit)
            hx_work_wrong(p, "attribute %.20s is listed twice", at);
        seen |= bit;
    }
    if (seen != want)
        hx_work_wrong(p, "lists attributes %x instead of %x", seen, want);
    return 0;
}
