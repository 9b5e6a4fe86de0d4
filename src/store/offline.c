/*
 * offline.c - see offline.h.  Reads and lists only.  Memory: the buffers of a hx_seg_env while a place is open.
 */
#include "offline.h"

#include <stdarg.h>
#include <stdio.h>

int hx_offline_open(struct hx_offline *o, const struct hx_check_cfg *cfg, const struct hx_disk_place *at)
{
    *o = (struct hx_offline){.cfg = cfg, .at = *at};
    int err = hx_seg_env_init(&o->env, &cfg->server, "", 0);
    if (err)
        return err;
    err = cfg->farm->ops->open(cfg->farm, *at, false, &o->disk);
    if (err)
        hx_seg_env_fini(&o->env);
    return err;
}

void hx_offline_close(struct hx_offline *o)
{
    o->cfg->farm->ops->close(o->cfg->farm, o->disk);
    hx_seg_env_fini(&o->env);
}

void hx_offline_say(const struct hx_offline *o, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *p = text; *p; p++)
        *p = *p < ' ' || *p > '~' ? '?' : *p;
    o->cfg->line(o->cfg->ctx, text);
}

int hx_offline_next(const struct hx_offline *o, uint64_t from, struct hx_disk_file *ret)
{
    size_t n = 0;
    int err = o->disk->ops->list(o->disk, from ? from + 1 : 0, ret, 1, &n);
    return err ? err : n > 0;
}

const char *hx_offline_kind(uint64_t file)
{
    if (file >= HX_LOG_SIDE_BIT + HX_LOG_FIRST_ID && file < 2 * HX_LOG_SIDE_BIT)
        return "sidecar";
    if (file >= HX_LOG_FIRST_ID && file < HX_LOG_SIDE_BIT)
        return "log file";
    switch (file) {
    case 1:
    case 2:
        return "meta slot";
    case HX_RESERVE_FILE:
        return "reserve";
    case HX_CKPT_FILE:
    case HX_CKPT_FILE + 1:
        return "checkpoint";
    case HX_FILL_FILE:
    case HX_FILL_FILE + 1:
        return "filling position";
    case HX_SCRUB_FILE:
        return "scrub position";
    case HX_SPARE_FILE:
    case HX_SPARE_FILE + 1:
        return "spare";
    default:
        return "not ours";
    }
}
