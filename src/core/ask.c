/*
 * ask.c - see ask.h: queues and timers of requests, bounded per server.
 *
 * A server that does not answer, or is not what it should be, is paused as a whole, and then tried with one
 * request: thousands of tasks for a dead server cost one connection attempt per pause.
 */
#include "ask.h"

#include "hexad/assert.h"
#include "hexad/mutant.h"

#include <stdlib.h>

struct hx_ask_server {
    struct hx_server s;
    struct hx_ask_task *head, *tail;
    struct hx_ask_timer timer; /* runs while the server is paused */
    uint32_t under_way;
    uint32_t fails; /* in a row */
    uint32_t index, ready_next; /* ready_next: index + 1 */
    bool ready;
    int last_err;
};
struct hx_ask_call {
    uint64_t number;
    struct hx_ask_task *task; /* NULL: cancelled */
    struct hx_ask_call *next; /* in cancel or carried */
    struct hx_server server;
    uint64_t req_id;
    uint16_t msg;
    uint8_t head[HX_MSG_HEAD];
    uint8_t *body; /* owned */
    struct iovec iov[2];
};

/* ---- timers: a binary heap by due time; a slot is reserved for every task and server ---- */

static void heap_put(struct hx_ask *a, size_t at, struct hx_ask_timer *t)
{
    a->heap[at] = t;
    t->at = at + 1;
}

static void heap_up(struct hx_ask *a, size_t at)
{
    struct hx_ask_timer *t = a->heap[at];
    while (at > 0 && a->heap[(at - 1) / 2]->due_ms > t->due_ms) {
        heap_put(a, at, a->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(a, at, t);
}

static void heap_down(struct hx_ask *a, size_t at)
{
    struct hx_ask_timer *t = a->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= a->heap_count) {
            break;
        }
        if (child + 1 < a->heap_count && a->heap[child + 1]->due_ms < a->heap[child]->due_ms) {
            child++;
        }
        if (a->heap[child]->due_ms >= t->due_ms) {
            break;
        }
        heap_put(a, at, a->heap[child]);
        at = child;
    }
    heap_put(a, at, t);
}

static void timer_set(struct hx_ask *a, struct hx_ask_timer *t, uint64_t due_ms)
{
    hx_assert(t->at == 0 && a->heap_count < a->heap_cap);
    t->due_ms = due_ms;
    heap_put(a, a->heap_count++, t);
    heap_up(a, a->heap_count - 1);
}

static void timer_clear(struct hx_ask *a, struct hx_ask_timer *t)
{
    if (t->at == 0) {
        return;
    }
    size_t at = t->at - 1;
    struct hx_ask_timer *last = a->heap[--a->heap_count];
    t->at = 0;
    if (last == t) {
        return;
    }
    heap_put(a, at, last);
    heap_up(a, at);
    heap_down(a, last->at - 1);
}

/* ---- servers ---- */

static void server_check_ready(struct hx_ask *a, uint32_t index)
{
    struct hx_ask_server *s = a->servers[index];
    uint32_t room = s->fails == 0 ? HX_ASK_CALLS_MAX : 1;
    if (s->ready || s->head == NULL || s->timer.at != 0 || s->under_way >= room) {
        return;
    }
    s->ready = true;
    s->ready_next = 0;
    if (a->ready_tail != 0) {
        a->servers[a->ready_tail - 1]->ready_next = index + 1;
    } else {
        a->ready_head = index + 1;
    }
    a->ready_tail = index + 1;
}

static void server_enqueue(struct hx_ask *a, struct hx_ask_task *t)
{
    struct hx_ask_server *s = a->servers[t->server];
    t->prev = s->tail;
    t->next = NULL;
    if (s->tail != NULL) {
        s->tail->next = t;
    } else {
        s->head = t;
    }
    s->tail = t;
    t->state = HX_ASK_QUEUED;
    server_check_ready(a, t->server);
}

static void server_dequeue(struct hx_ask *a, struct hx_ask_task *t)
{
    struct hx_ask_server *s = a->servers[t->server];
    *(t->prev != NULL ? &t->prev->next : &s->head) = t->next;
    *(t->next != NULL ? &t->next->prev : &s->tail) = t->prev;
    t->prev = t->next = NULL;
    t->state = HX_ASK_IDLE;
}

static uint64_t pause_ms(uint32_t times)
{
    uint64_t ms = (uint64_t)HX_ASK_PAUSE_MIN_MS << (times < 5 ? times : 5);
    return ms < HX_ASK_PAUSE_MAX_MS ? ms : HX_ASK_PAUSE_MAX_MS;
}

/* The outcome of one call says how the server is: failures of calls sent before a pause do not lengthen it. */
static void server_outcome(struct hx_ask *a, uint32_t index, int err)
{
    struct hx_ask_server *s = a->servers[index];
    hx_assert(s->under_way > 0);
    s->under_way--;
    s->last_err = err;
    if (err == 0) {
        s->fails = 0;
        timer_clear(a, &s->timer);
    } else if (s->timer.at == 0) {
        timer_set(a, &s->timer, a->now_ms + pause_ms(s->fails));
        s->fails++;
    }
    server_check_ready(a, index);
}

/* ---- calls ---- */

static size_t call_slot(uint64_t number)
{
    return (size_t)(number & 0xffffff);
}

static struct hx_ask_call *call_find(const struct hx_ask *a, uint64_t number)
{
    size_t slot = call_slot(number);
    struct hx_ask_call *c = slot < a->slots ? a->calls[slot] : NULL;
    return c != NULL && c->number == number ? c : NULL;
}

static int slots_grow(struct hx_ask *a)
{
    size_t n = a->slots == 0 ? 16 : 2 * a->slots;
    if (n > 0x1000000) {
        return HX_E_NOMEM;
    }
    struct hx_ask_call **calls = realloc(a->calls, n * sizeof *calls);
    if (calls == NULL) {
        return HX_E_NOMEM;
    }
    a->calls = calls;
    size_t *fr = realloc(a->free_slots, n * sizeof *fr);
    if (fr == NULL) {
        return HX_E_NOMEM;
    }
    a->free_slots = fr;
    for (size_t i = n; i > a->slots; i--) {
        a->calls[i - 1] = NULL;
        a->free_slots[a->free_count++] = i - 1;
    }
    a->slots = n;
    return 0;
}

static void call_leave(struct hx_ask *a, struct hx_ask_call *c)
{
    size_t slot = call_slot(c->number);
    a->calls[slot] = NULL;
    a->free_slots[a->free_count++] = slot;
    c->task->call = NULL;
    c->task->state = HX_ASK_IDLE;
    c->task = NULL;
}

static void call_free(struct hx_ask_call *c)
{
    free(c->body);
    free(c);
}

static void calls_free(struct hx_ask_call **list)
{
    while (*list != NULL) {
        struct hx_ask_call *c = *list;
        *list = c->next;
        call_free(c);
    }
}

static void call_cancel(struct hx_ask *a, struct hx_ask_call *c)
{
    call_leave(a, c);
    c->next = a->cancel;
    a->cancel = c;
}

/* ---- life ---- */

void hx_ask_init(struct hx_ask *a, enum hx_part part, uint64_t now_ms)
{
    *a = (struct hx_ask){.part = part, .now_ms = now_ms};
}

void hx_ask_reset(struct hx_ask *a)
{
    for (size_t i = 0; i < a->slots; i++) {
        if (a->calls[i] != NULL) {
            call_cancel(a, a->calls[i]);
        }
    }
    for (uint32_t i = 0; i < a->server_count; i++) {
        free(a->servers[i]);
    }
    a->server_count = a->ready_head = a->ready_tail = 0;
    a->heap_count = 0;
}

void hx_ask_fini(struct hx_ask *a)
{
    hx_ask_reset(a);
    calls_free(&a->cancel);
    calls_free(&a->carried);
    free(a->servers);
    free(a->heap);
    free(a->calls);
    free(a->free_slots);
    *a = (struct hx_ask){0};
}

int hx_ask_reserve(struct hx_ask *a, size_t tasks)
{
    size_t cap = tasks + a->server_cap; /* servers have timers, too */
    if (cap <= a->heap_cap) {
        return 0;
    }
    struct hx_ask_timer **heap = realloc(a->heap, cap * sizeof(struct hx_ask_timer *));
    if (heap == NULL) {
        return HX_E_NOMEM;
    }
    a->heap = heap;
    a->heap_cap = cap;
    return 0;
}

int hx_ask_servers(struct hx_ask *a, const struct hx_server *servers, uint32_t count)
{
    uint32_t cap = a->server_count + count;
    size_t tasks = a->heap_cap - a->server_cap;
    if (cap > a->server_cap) {
        struct hx_ask_server **p = realloc(a->servers, cap * sizeof(struct hx_ask_server *));
        if (p == NULL) {
            return HX_E_NOMEM;
        }
        a->servers = p;
        a->server_cap = cap;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct hx_ask_server *s = calloc(1, sizeof *s);
        if (s == NULL) {
            return HX_E_NOMEM;
        }
        s->s = servers[i];
        s->timer.of_server = true;
        s->index = a->server_count;
        a->servers[a->server_count++] = s;
    }
    return hx_ask_reserve(a, tasks);
}

const struct hx_server *hx_ask_server(const struct hx_ask *a, uint32_t server)
{
    hx_assert(server < a->server_count);
    return &a->servers[server]->s;
}

void hx_ask_set_incarnation(struct hx_ask *a, uint32_t server, const struct hx_uuid *incarnation)
{
    hx_assert(server < a->server_count);
    a->servers[server]->s.incarnation = *incarnation;
}

int hx_ask_server_error(const struct hx_ask *a, uint32_t server)
{
    hx_assert(server < a->server_count);
    return a->servers[server]->last_err;
}

/* ---- tasks ---- */

void hx_ask_queue(struct hx_ask *a, struct hx_ask_task *t, uint32_t server, uint16_t msg)
{
    hx_assert(t->state == HX_ASK_IDLE && server < a->server_count); /* A2 */
    t->server = server;
    t->msg = msg;
    t->pauses = 0;
    server_enqueue(a, t);
}

void hx_ask_pause(struct hx_ask *a, struct hx_ask_task *t, uint32_t server, uint16_t msg)
{
    hx_assert(t->state == HX_ASK_IDLE && server < a->server_count);
    t->server = server;
    t->msg = msg;
    t->state = HX_ASK_PAUSED;
    timer_set(a, &t->timer, a->now_ms + pause_ms(t->pauses));
    t->pauses++;
}

void hx_ask_unqueue(struct hx_ask *a, struct hx_ask_task *t)
{
    if (t->state == HX_ASK_QUEUED) {
        server_dequeue(a, t);
    } else if (t->state == HX_ASK_PAUSED) {
        timer_clear(a, &t->timer);
        t->state = HX_ASK_IDLE;
    }
}

void hx_ask_drop(struct hx_ask *a, struct hx_ask_task *t)
{
    hx_ask_unqueue(a, t);
    if (t->state == HX_ASK_SENT) {
        uint32_t server = t->server;
        call_cancel(a, t->call);
        a->servers[server]->under_way--;
        server_check_ready(a, server);
    }
}

struct hx_ask_task *hx_ask_pop(struct hx_ask *a)
{
    while (a->ready_head != 0) {
        uint32_t index = a->ready_head - 1;
        struct hx_ask_server *s = a->servers[index];
        a->ready_head = s->ready_next;
        if (a->ready_head == 0) {
            a->ready_tail = 0;
        }
        s->ready = false;
        uint32_t room = s->fails == 0 ? HX_ASK_CALLS_MAX : 1;
        if (s->head != NULL && s->timer.at == 0 && s->under_way < room) {
            struct hx_ask_task *t = s->head;
            server_dequeue(a, t);
            server_check_ready(a, index); /* room is looked at again when its turn comes */
            return t;
        }
    }
    return NULL;
}

int hx_ask_send(struct hx_ask *a, struct hx_ask_task *t, struct hx_msg_head *head, uint8_t *body, size_t len,
                struct hx_effect *ret)
{
    hx_assert(t->state == HX_ASK_IDLE && t->server < a->server_count);
    struct hx_ask_call *c = calloc(1, sizeof *c);
    if (c == NULL || (a->free_count == 0 && slots_grow(a) != 0)) {
        free(c);
        free(body);
        return HX_E_NOMEM;
    }
    struct hx_ask_server *s = a->servers[t->server];
    size_t slot = a->free_slots[--a->free_count];
    a->calls[slot] = c;
    a->sequence++;
    c->number = (uint64_t)a->part << 56 | (a->sequence & 0xffffffff) << 24 | slot;
    c->req_id = c->number;
    c->task = t;
    c->server = s->s;
    c->msg = t->msg;
    c->body = body;
    head->type = t->msg;
    head->req_id = c->req_id;
    head->server = s->s.incarnation;
    struct hx_bytes piece = {body, len};
    hx_msg_head_encode(head, &piece, 1, c->head);
    c->iov[0] = (struct iovec){c->head, HX_MSG_HEAD};
    c->iov[1] = (struct iovec){body, len};
    t->call = c;
    t->state = HX_ASK_SENT;
    s->under_way++;
    bool bulk = t->msg == HX_MSG_FETCH || t->msg == HX_MSG_REPAIR;
    *ret = (struct hx_effect){HX_EFFECT_SEND, c->number, &c->server, c->iov, len > 0 ? 2 : 1,
                              bulk ? HX_ASK_BULK_TIMEOUT_MS : HX_ASK_TIMEOUT_MS};
    return 0;
}

int hx_ask_cancel_next(struct hx_ask *a, struct hx_effect *ret)
{
    calls_free(&a->carried);
    struct hx_ask_call *c = a->cancel;
    if (c == NULL) {
        return 0;
    }
    a->cancel = c->next;
    c->next = NULL;
    a->carried = c;
    *ret = (struct hx_effect){.kind = HX_EFFECT_CANCEL, .call = c->number, .server = &c->server};
    return 1;
}

/* ---- events ---- */

/* Errors that are the server's, not the request's: everything else asked there would meet the same. */
static bool is_of_server(int err)
{
    return err == HX_E_STRANGER || err == HX_E_ROLE || err == HX_E_VERSION || err == HX_E_BADMSG;
}

static int reply_judge(const struct hx_ask_call *c, struct hx_bytes answer, struct hx_ask_reply *ret)
{
    int r = hx_reply_decode(answer.p, answer.len, &ret->head, &ret->body);
    if (r == 0 && (ret->head.type != c->msg || ret->head.req_id != c->req_id)) {
        r = HX_E_BADMSG;
    }
    if (r != 0) {
        ret->head = (struct hx_reply_head){0};
        ret->body = (struct hx_bytes){0};
        return r == HX_E_VERSION ? r : HX_E_BADMSG;
    }
    if (ret->head.status == 0 && !hx_uuid_is_zero(&c->server.incarnation) &&
        !hx_uuid_eq(&ret->head.server, &c->server.incarnation) && !HX_MUTANT(INCARNATION_IGNORED)) {
        return HX_E_STRANGER;
    }
    return ret->head.status;
}

int hx_ask_answer(struct hx_ask *a, uint64_t now_ms, uint64_t call, struct hx_bytes answer, struct hx_ask_reply *ret)
{
    a->now_ms = now_ms > a->now_ms ? now_ms : a->now_ms;
    struct hx_ask_call *c = call_find(a, call);
    if (c == NULL) {
        return 0; /* A3 */
    }
    *ret = (struct hx_ask_reply){.task = c->task};
    ret->err = reply_judge(c, answer, ret);
    ret->task->last_err = ret->err;
    uint32_t server = c->task->server;
    call_leave(a, c);
    call_free(c);
    server_outcome(a, server, is_of_server(ret->err) ? ret->err : 0);
    return 1;
}

int hx_ask_failed(struct hx_ask *a, uint64_t now_ms, uint64_t call, int err, struct hx_ask_reply *ret)
{
    a->now_ms = now_ms > a->now_ms ? now_ms : a->now_ms;
    struct hx_ask_call *c = call_find(a, call);
    if (c == NULL) {
        return 0;
    }
    *ret = (struct hx_ask_reply){.task = c->task, .err = err};
    hx_assert(err != 0);
    ret->task->last_err = ret->err;
    uint32_t server = c->task->server;
    call_leave(a, c);
    call_free(c);
    server_outcome(a, server, ret->err);
    return 1;
}

uint64_t hx_ask_tick(struct hx_ask *a, uint64_t now_ms)
{
    a->now_ms = now_ms > a->now_ms ? now_ms : a->now_ms;
    while (a->heap_count > 0 && a->heap[0]->due_ms <= a->now_ms) {
        struct hx_ask_timer *t = a->heap[0];
        timer_clear(a, t);
        if (t->of_server) {
            struct hx_ask_server *s = HX_CONTAINER_OF(t, struct hx_ask_server, timer);
            server_check_ready(a, s->index);
        } else {
            server_enqueue(a, HX_CONTAINER_OF(t, struct hx_ask_task, timer));
        }
    }
    if (a->heap_count == 0) {
        return HX_ASK_IDLE_MS;
    }
    return a->heap[0]->due_ms - a->now_ms;
}
