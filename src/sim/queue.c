/*
 * queue.c - events by virtual time: a binary heap; equal times in the order in which they were put in.
 *
 * Memory: the heap, grown by doubling; events are small and copied.
 */
#include "sim.h"

#include "queue.h"

#include <stdlib.h>

static bool before(const struct hx_sim_event *a, const struct hx_sim_event *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->seq < b->seq);
}

void hx_sim_at(struct hx_sim *s, uint64_t at_us, void (*run)(struct hx_sim *, void *, uint64_t), void *ctx,
               uint64_t arg)
{
    struct hx_sim_queue *q = &s->queue;
    if (q->count == q->cap) {
        size_t cap = q->cap ? 2 * q->cap : 256;
        struct hx_sim_event *heap = realloc(q->heap, cap * sizeof(*heap));
        if (!heap) {
            hx_sim_harness(s, "no memory for events");
            return;
        }
        q->heap = heap;
        q->cap = cap;
    }
    struct hx_sim_event e = {at_us < s->now_us ? s->now_us : at_us, q->seq++, run, ctx, arg};
    size_t i = q->count++;
    for (; i > 0 && before(&e, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        q->heap[i] = q->heap[(i - 1) / 2];
    q->heap[i] = e;
}

bool hx_sim_queue_take(struct hx_sim_queue *q, struct hx_sim_event *ret)
{
    if (q->count == 0)
        return false;
    *ret = q->heap[0];
    struct hx_sim_event last = q->heap[--q->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < q->count; i = child) {
        if (child + 1 < q->count && before(&q->heap[child + 1], &q->heap[child]))
            child++;
        if (before(&last, &q->heap[child]))
            break;
        q->heap[i] = q->heap[child];
    }
    if (q->count)
        q->heap[i] = last;
    return true;
}

void hx_sim_queue_fini(struct hx_sim_queue *q)
{
    free(q->heap);
    *q = (struct hx_sim_queue){0};
}
