/*
 * effect.h - what the client's pure parts (writer, reader, recovery, growth, create) ask to be done.
 *
 * Each part is driven the same way: an event in (with the time in it), then its _next until it gives 0.
 * A call number names a request until its answer, failure or cancel; the top byte says which part made
 * it, so that whoever carries effects out can route the answer.
 */
#ifndef HEXAD_EFFECT_H
#define HEXAD_EFFECT_H

#include "hexad/geometry.h"
#include "hexad/types.h"

#include <sys/uio.h>

enum hx_part {
    HX_PART_WRITER = 1, HX_PART_READER, HX_PART_RECOVERY, HX_PART_GROWTH, HX_PART_CREATE,
    HX_PART_LOOKUP, HX_PART_HELLO, HX_PART_MOVE /* the questions of a session (hexad/session.h) */
};
static inline enum hx_part hx_call_part(uint64_t call)
{
    return (enum hx_part)(call >> 56);
}

enum hx_effect_kind { HX_EFFECT_SEND = 1, HX_EFFECT_CANCEL };
struct hx_effect {
    enum hx_effect_kind kind;
    uint64_t call;
    /* SEND: a whole message to this server.  Server, iov and all that they point at are borrowed until the
     * completion: the part keeps them until answer, failure, or a CANCEL effect that has been carried out. */
    const struct hx_server *server;
    const struct iovec *iov;
    int iovcnt;
    uint32_t timeout_ms;
};

#endif
