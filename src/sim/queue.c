/*
 * queue.c - events by virtual time: a heap with four children a node (most that is put in is late: it stays near the
 * bottom, and what is taken out passes half as many levels); equal times in the order in which they were put in.
 *
 * Memory: the heap, grown by doubling; events are small and copied.
 */
#include "sim.h"

#include "queue.h"

#include <stdlib.h>

#define CHILDREN 4u

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
    for (; i > 0 && before(&e, &q->heap[(i - 1) / CHILDREN]); i = (i - 1) / CHILDREN)
        q->heap[i] = q->heap[(i - 1) / CHILDREN];
    q->heap[i] = e;
}

bool hx_sim_queue_take(struct hx_sim_queue *q, struct hx_sim_event *ret)
{
    if (q->count == 0)
        return false;
    *ret = q->heap[0];
    struct hx_sim_event last = q->heap[--q->count];
    size_t i = 0;
    for (size_t first, child; (first = CHILDREN * i + 1) < q->count; i = child) {
        size_t end = first + CHILDREN < q->count ? first + CHILDREN : q->count;
        child = first;
        for (size_t k = first + 1; k < end; k++)
            child = before(&q->heap[k], &q->heap[child]) ? k : child;
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
