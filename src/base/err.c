/*
 * err.c - look-ups in the one table of errors (hexad/err.h).  Pure.
 */
#include "hexad/err.h"

#include <errno.h>
#include <stddef.h>

static const struct hx_err_info table[] = {
#define HX_ERR_ROW(name, code, cls, http, eno, text, hint) \
    {code, #name, HX_CLASS_##cls, http, eno, text, hint},
    HX_ERR_TABLE(HX_ERR_ROW)
#undef HX_ERR_ROW
};

static const struct hx_err_info ok = {0, "OK", HX_CLASS_RETRY, 200, 0, "success", ""};

static const struct hx_err_info *find(int code)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].code == code)
            return &table[i];
    return NULL;
}

const struct hx_err_info *hx_err_info(int err)
{
    int code = err < 0 ? -err : err;
    if (code == 0)
        return &ok;
    const struct hx_err_info *e = find(code);
    return e ? e : find(-HX_E_IO);
}

const char *hx_err_text(int err)
{
    return hx_err_info(err)->text;
}

int hx_err_errno(int err)
{
    return hx_err_info(err)->fuse_errno;
}

int hx_err_from_errno(int eno)
{
    switch (eno) {
    case 0:
        return 0;
    case ENOMEM:
        return HX_E_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return HX_E_NOSPACE;
    case EINVAL:
        return HX_E_INVAL;
    case EAGAIN:
        return HX_E_AGAIN;
    case ENOENT:
        return HX_E_NOENT;
    case EEXIST:
        return HX_E_EXIST;
    case EACCES:
        return HX_E_ACCES;
    case EPERM:
        return HX_E_PERM;
    case EROFS:
        return HX_E_READ_ONLY;
    case ENOTDIR:
        return HX_E_NOTDIR;
    case EISDIR:
        return HX_E_ISDIR;
    case EFBIG:
        return HX_E_FBIG;
    case ETIMEDOUT:
        return HX_E_TIMEOUT;
    case ECONNREFUSED:
        return HX_E_CONNECT;
    case EBUSY:
        return HX_E_BUSY;
    default:
        return HX_E_IO;
    }
}

int hx_err_from_wire(uint32_t code)
{
    if (code == 0)
        return 0;
    if (code > INT32_MAX || !find((int)code))
        return HX_E_VERSION;
    return -(int)code;
}

uint32_t hx_err_to_wire(int err)
{
    return (uint32_t)(err < 0 ? -err : err);
}
