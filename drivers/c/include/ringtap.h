/* ringtap for C: TCP and UDP over IPv4, on a network card of callbacks.
 *
 * One thread at a time per stack. No call blocks; none is made from within a callback. Calls return RINGTAP_AGAIN (a negative
 * number, as all errors are) when they would have to wait: poll, and try again. A panic, which would be a fault of the library,
 * aborts the program. Memory comes from the system's allocator. */
#ifndef RINGTAP_H
#define RINGTAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Errors. */
enum {
    RINGTAP_AGAIN = -1,     /* nothing there yet, or no room: poll, and try again */
    RINGTAP_INVALID = -2,   /* an argument that cannot be, NULL among them */
    RINGTAP_STALE = -3,     /* the socket was closed, or is of another kind */
    RINGTAP_FULL = -4,      /* no room for another socket */
    RINGTAP_IN_USE = -5,    /* the port is taken */
    RINGTAP_REFUSED = -6,   /* the peer refused */
    RINGTAP_RESET = -7,     /* the peer reset the connection */
    RINGTAP_TIMED_OUT = -8, /* the peer does not answer */
    RINGTAP_NO_ROUTE = -9,  /* no way to the peer, or the link is down */
    RINGTAP_CLOSED = -10,   /* this end was shut down or aborted */
    RINGTAP_TOO_LONG = -11  /* the datagram is longer than can be sent */
};

/* A network card. `context` is handed back to each callback. Frames have an Ethernet header and no check sequence. */
struct ringtap_device {
    void *context;
    /* The next received frame into `frame`, `room` octets; its length, or 0 when there is none. Longer ones are dropped. */
    size_t (*receive)(void *context, uint8_t *frame, size_t room);
    /* Sends a frame: 0 when it was taken, anything else when there is no room and it shall be offered again. */
    int (*send)(void *context, const uint8_t *frame, size_t len);
    /* Whether there is a carrier; NULL: always. */
    int (*link)(void *context);
};

struct ringtap_config {
    uint8_t mac[6];
    uint8_t address[4];
    uint8_t prefix;      /* bits of the network in `address` */
    uint8_t gateway[4];  /* 0.0.0.0: none */
    uint8_t secret[16];  /* random, fresh at every start */
    uint16_t frames;     /* frames of 1536 octets, 8 at least */
};

struct ringtap_peer {
    uint8_t address[4];
    uint16_t port; /* in the machine's order */
};

struct ringtap; /* a stack */

/* A stack on a network card, or NULL when something of it cannot be. The structures are copied. */
struct ringtap *ringtap_new(const struct ringtap_device *device, const struct ringtap_config *config);
/* Frees it, with all its sockets. NULL is fine. */
void ringtap_free(struct ringtap *stack);

/* Receives and sends. `now` is in microseconds, of a clock that does not go back. When to call again at the latest: at once if
 * that is not after `now`, never if it is UINT64_MAX; call earlier when the card has received or has room, and after the calls
 * below. */
uint64_t ringtap_poll(struct ringtap *stack, uint64_t now);

/* A listener, connection or datagram socket: a number from 0 on, or an error. Port 0 for ringtap_udp_bind: any free one. */
int32_t ringtap_tcp_listen(struct ringtap *stack, uint16_t port, uint16_t backlog);
int32_t ringtap_tcp_accept(struct ringtap *stack, int32_t listener, struct ringtap_peer *from);
int32_t ringtap_tcp_connect(struct ringtap *stack, const struct ringtap_peer *to);
int32_t ringtap_udp_bind(struct ringtap *stack, uint16_t port);

/* Octets taken, or received; 0 is the end of what the peer sends. At most INT32_MAX at once. */
int32_t ringtap_tcp_send(struct ringtap *stack, int32_t socket, const void *data, size_t len);
int32_t ringtap_tcp_recv(struct ringtap *stack, int32_t socket, void *data, size_t len);
/* No more is sent: the peer sees the end once it has all. 0, or an error. */
int32_t ringtap_tcp_shutdown(struct ringtap *stack, int32_t socket);

/* Sends one datagram: 0, or an error. Receives one: its length, which may be more than `len`, and the rest is lost. */
int32_t ringtap_udp_sendto(struct ringtap *stack, int32_t socket, const void *data, size_t len, const struct ringtap_peer *to);
int32_t ringtap_udp_recvfrom(struct ringtap *stack, int32_t socket, void *data, size_t len, struct ringtap_peer *from);

/* Closes a socket of any kind; what a connection has taken is still delivered. 0, or an error. */
int32_t ringtap_close(struct ringtap *stack, int32_t socket);

#ifdef __cplusplus
}
#endif
#endif
