/* Two stacks on a cable of two queues: TCP and UDP pass, and what cannot be is an error. */
#include "ringtap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
            exit(1); \
        } \
    } while (0)

enum { QUEUE = 16, FRAME = 1514, TOTAL = 300000 };

struct queue {
    uint8_t frames[QUEUE][FRAME];
    size_t lens[QUEUE];
    unsigned first, count;
};

struct end {
    struct queue *in, *out;
};

static unsigned refusals, dropped, sent_frames;

static size_t take(void *context, uint8_t *frame, size_t room) {
    struct queue *in = ((struct end *)context)->in;
    if (in->count == 0) return 0;
    size_t len = in->lens[in->first];
    CHECK(len <= room);
    memcpy(frame, in->frames[in->first], len);
    in->first = (in->first + 1) % QUEUE;
    in->count--;
    return len;
}

static int give(void *context, const uint8_t *frame, size_t len) {
    struct queue *out = ((struct end *)context)->out;
    CHECK(len <= FRAME);
    if (out->count == QUEUE) {
        refusals++;
        return 1;
    }
    if (++sent_frames % 50 == 0) { /* lost on the cable: TCP sends it again */
        dropped++;
        return 0;
    }
    unsigned at = (out->first + out->count++) % QUEUE;
    memcpy(out->frames[at], frame, len);
    out->lens[at] = len;
    return 0;
}

static uint8_t octet(unsigned place) { return (uint8_t)(place * 2654435761u >> 24); }

static struct ringtap *stack(struct end *end, uint8_t number) {
    struct ringtap_device device = {end, take, give, NULL};
    struct ringtap_config config = {{2, 0, 0, 0, 0, number}, {10, 0, 0, number}, 24, {0}, {number, 1, 2}, 64};
    struct ringtap *made = ringtap_new(&device, &config);
    CHECK(made != NULL);
    return made;
}

static uint64_t now;

static void step(struct ringtap *a, struct ringtap *b) {
    now += 500;
    CHECK(ringtap_poll(a, now) > 0);
    CHECK(ringtap_poll(b, now) > 0);
}

static void tcp(struct ringtap *a, struct ringtap *b) {
    struct ringtap_peer to = {{10, 0, 0, 2}, 7}, from = {{0}, 0};
    int32_t listener = ringtap_tcp_listen(b, 7, 4);
    CHECK(listener >= 0 && ringtap_tcp_listen(b, 7, 4) == RINGTAP_IN_USE);
    CHECK(ringtap_tcp_accept(b, listener, &from) == RINGTAP_AGAIN);
    int32_t client = ringtap_tcp_connect(a, &to), server = RINGTAP_AGAIN;
    CHECK(client >= 0);
    unsigned out = 0, echoed = 0, back = 0;
    uint8_t text[1000], kept[4000];
    size_t held = 0;
    int ended = 0, done = 0;
    for (unsigned round = 0; !done && round < 1000000; round++) {
        step(a, b);
        while (out < TOTAL) {
            size_t len = sizeof text < TOTAL - out ? sizeof text : TOTAL - out;
            for (size_t i = 0; i < len; i++) text[i] = octet(out + (unsigned)i);
            int32_t n = ringtap_tcp_send(a, client, text, len);
            CHECK(n > 0 || n == RINGTAP_AGAIN);
            if (n < 0) break;
            out += (unsigned)n;
            if (out == TOTAL) CHECK(ringtap_tcp_shutdown(a, client) == 0);
        }
        if (server < 0) server = ringtap_tcp_accept(b, listener, &from);
        if (server >= 0 && !ended) {
            int32_t n = ringtap_tcp_recv(b, server, kept + held, sizeof kept - held);
            if (n > 0) held += (size_t)n;
            CHECK(n >= 0 || n == RINGTAP_AGAIN || held == sizeof kept);
            int32_t m = held ? ringtap_tcp_send(b, server, kept, held) : 0;
            if (m > 0) {
                memmove(kept, kept + m, held - (size_t)m);
                held -= (size_t)m;
                echoed += (unsigned)m;
            }
            if (echoed == TOTAL && ringtap_tcp_recv(b, server, kept, sizeof kept) == 0) {
                CHECK(ringtap_close(b, server) == 0);
                ended = 1;
            }
        }
        int32_t n = ringtap_tcp_recv(a, client, text, sizeof text);
        CHECK(n >= 0 || n == RINGTAP_AGAIN);
        for (int32_t i = 0; i < n; i++) CHECK(text[i] == octet(back++));
        done = n == 0;
    }
    CHECK(done && back == TOTAL);
    CHECK(from.address[0] == 10 && from.address[3] == 1 && from.port != 0);
    CHECK(ringtap_close(a, client) == 0 && ringtap_close(a, client) == RINGTAP_STALE);
    CHECK(ringtap_tcp_send(a, client, text, 1) == RINGTAP_STALE);
    /* A number is never another socket's, although its place is used again. */
    int32_t other = ringtap_udp_bind(a, 0);
    CHECK(other >= 0 && other != client && ringtap_close(a, client) == RINGTAP_STALE);
    CHECK(ringtap_tcp_send(a, other, text, 1) == RINGTAP_STALE && ringtap_close(a, other) == 0);
    /* Nobody listens. */
    to.port = 9;
    client = ringtap_tcp_connect(a, &to);
    int32_t n = RINGTAP_AGAIN;
    for (int i = 0; n == RINGTAP_AGAIN && i < 20000; i++) {
        step(a, b);
        n = ringtap_tcp_recv(a, client, text, sizeof text);
    }
    CHECK(n == RINGTAP_REFUSED && ringtap_close(a, client) == 0 && ringtap_close(b, listener) == 0);
}

static void udp(struct ringtap *a, struct ringtap *b) {
    struct ringtap_peer to = {{10, 0, 0, 2}, 53}, from = {{0}, 0}, nowhere = {{192, 0, 2, 1}, 1};
    int32_t client = ringtap_udp_bind(a, 0), server = ringtap_udp_bind(b, 53), n = RINGTAP_AGAIN;
    char text[16] = {0};
    CHECK(client >= 0 && server >= 0);
    CHECK(ringtap_udp_recvfrom(b, server, text, sizeof text, &from) == RINGTAP_AGAIN);
    for (int i = 0; n == RINGTAP_AGAIN && i < 1000; i++) {
        CHECK(ringtap_udp_sendto(a, client, "a question", 10, &to) == 0); /* it may be lost */
        for (int j = 0; j < 10; j++) step(a, b);
        n = ringtap_udp_recvfrom(b, server, text, 4, &from);
    }
    CHECK(n == 10 && memcmp(text, "a qu\0", 5) == 0 && from.address[3] == 1);
    n = RINGTAP_AGAIN;
    for (int i = 0; n == RINGTAP_AGAIN && i < 1000; i++) {
        CHECK(ringtap_udp_sendto(b, server, "an answer", 9, &from) == 0);
        for (int j = 0; j < 10; j++) step(a, b);
        n = ringtap_udp_recvfrom(a, client, text, sizeof text, &to);
    }
    CHECK(n == 9 && memcmp(text, "an answer", 9) == 0 && to.port == 53);
    CHECK(ringtap_udp_sendto(a, client, "x", 1, &nowhere) == RINGTAP_NO_ROUTE);
    CHECK(ringtap_udp_sendto(a, client, NULL, 1, &to) == RINGTAP_INVALID);
    CHECK(ringtap_udp_sendto(a, client, text, 1, NULL) == RINGTAP_INVALID);
}

int main(void) {
    static struct queue there, back;
    struct end left = {&back, &there}, right = {&there, &back};
    struct ringtap *a = stack(&left, 1), *b = stack(&right, 2);
    udp(a, b);
    tcp(a, b);
    CHECK(dropped > 5);
    ringtap_free(a);
    ringtap_free(b);
    ringtap_free(NULL);
    struct ringtap_device mute = {NULL, NULL, give, NULL};
    struct ringtap_config config = {{2, 0, 0, 0, 0, 3}, {10, 0, 0, 3}, 33, {0}, {0}, 8};
    CHECK(ringtap_new(NULL, &config) == NULL && ringtap_new(&mute, &config) == NULL);
    mute.receive = take;
    CHECK(ringtap_new(&mute, &config) == NULL);
    CHECK(ringtap_poll(NULL, 1) == UINT64_MAX && ringtap_tcp_listen(NULL, 1, 1) == RINGTAP_INVALID);
    printf("passed: %u frames, %u lost, %u refused\n", sent_frames, dropped, refusals);
    return 0;
}
