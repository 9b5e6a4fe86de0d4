/*
 * acl.h - POSIX access control lists as bytes (acl.c).  Private to src/fs and its tests.
 *
 * The bytes are those that the kernel hands over in system.posix_acl_*: u32 version 2, then for each entry u16 tag,
 * u16 permissions, u32 id; all little-endian.
 */
#ifndef HEXAD_FS_ACL_H
#define HEXAD_FS_ACL_H

#include "hexad/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HX_ACL_HEAD 4u
#define HX_ACL_ENTRY 8u
#define HX_ACL_MAX (HX_ACL_HEAD + 507u * HX_ACL_ENTRY) /* the kernel takes no more than a page */

/* One entry of each of owner, group and others, named ones in between, a mask if there are any. */
bool hx_acl_ok(const uint8_t *acl, size_t len);
/* MODE with the permission bits that the ACL means. */
uint32_t hx_acl_mode(const uint8_t *acl, size_t len, uint32_t mode);
/* It says no more than the permission bits do: it need not be kept. */
bool hx_acl_is_mode(const uint8_t *acl, size_t len);
/* chmod: the entries that permission bits stand for take them from MODE. */
void hx_acl_chmod(uint8_t *acl, size_t len, uint32_t mode);
/* What is made in a directory with this default ACL with MODE: the ACL becomes its access ACL; its mode. */
uint32_t hx_acl_inherit(uint8_t *acl, size_t len, uint32_t mode);

#endif
