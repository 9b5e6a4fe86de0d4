/*
 * assert.h - checks for our own bugs; on in every build, so that a broken invariant stops the process
 * instead of reaching a disk or a peer.  What comes from wire, disk, user or libc is an error value.
 */
#ifndef HEXAD_ASSERT_H
#define HEXAD_ASSERT_H

__attribute__((noreturn, cold)) void hx_assert_failed(const char *what, const char *file, int line);

#define hx_assert(cond) ((cond) ? (void)0 : hx_assert_failed(#cond, __FILE__, __LINE__))

#endif
