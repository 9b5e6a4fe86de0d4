/*
 * notepager.h - the pager that operations of a session see: the cache's, and a list of the pages that the operation
 * lacks.  See notepager.c.
 */
#ifndef HX_CORE_NOTEPAGER_H
#define HX_CORE_NOTEPAGER_H

#include "hexad/pager.h"

struct hx_notepager {
    struct hx_pager base;
    struct hx_pager *inner;  /* borrowed */
    struct hx_pageno *pages; /* owned */
    size_t count, cap;
    bool nomem;
};
void hx_notepager_init(struct hx_notepager *n, struct hx_pager *inner);
void hx_notepager_fini(struct hx_notepager *n);
void hx_notepager_reset(struct hx_notepager *n);

#endif
