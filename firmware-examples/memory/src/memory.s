    .syntax unified
    .thumb

@ void *memcpy(void *to, const void *from, size_t len): 16 octets at a time, then 4, then 1. Changes r1 to r3 and ip.
    .section .text.memcpy, "ax", %progbits
    .global memcpy, __aeabi_memcpy, __aeabi_memcpy4, __aeabi_memcpy8
    .type memcpy, %function
    .type __aeabi_memcpy, %function
    .type __aeabi_memcpy4, %function
    .type __aeabi_memcpy8, %function
    .thumb_func
memcpy:
__aeabi_memcpy:
__aeabi_memcpy4:
__aeabi_memcpy8:
    mov     ip, r0
    b       2f
1:  ldr     r3, [r1], #4
    str     r3, [ip], #4
    ldr     r3, [r1], #4
    str     r3, [ip], #4
    ldr     r3, [r1], #4
    str     r3, [ip], #4
    ldr     r3, [r1], #4
    str     r3, [ip], #4
2:  subs    r2, #16
    bhs     1b
    adds    r2, #16
    b       4f
3:  ldr     r3, [r1], #4
    str     r3, [ip], #4
4:  subs    r2, #4
    bhs     3b
    adds    r2, #4
    b       6f
5:  ldrb    r3, [r1], #1
    strb    r3, [ip], #1
6:  subs    r2, #1
    bhs     5b
    bx      lr
    .size memcpy, . - memcpy

@ void *memmove(void *to, const void *from, size_t len): from the end on, where `to` lies in what is moved.
    .section .text.memmove, "ax", %progbits
    .global memmove, __aeabi_memmove, __aeabi_memmove4, __aeabi_memmove8
    .type memmove, %function
    .type __aeabi_memmove, %function
    .type __aeabi_memmove4, %function
    .type __aeabi_memmove8, %function
    .thumb_func
memmove:
__aeabi_memmove:
__aeabi_memmove4:
__aeabi_memmove8:
    subs    r3, r0, r1
    cmp     r3, r2
    bhs.w   memcpy
    add     r1, r2
    add     ip, r0, r2
    b       2f
1:  ldr     r3, [r1, #-4]!
    str     r3, [ip, #-4]!
2:  subs    r2, #4
    bhs     1b
    adds    r2, #4
    b       4f
3:  ldrb    r3, [r1, #-1]!
    strb    r3, [ip, #-1]!
4:  subs    r2, #1
    bhs     3b
    bx      lr
    .size memmove, . - memmove

@ void *memset(void *to, int octet, size_t len), __aeabi_memset(to, len, octet) and __aeabi_memclr(to, len).
    .section .text.memset, "ax", %progbits
    .global memset, __aeabi_memset, __aeabi_memset4, __aeabi_memset8, __aeabi_memclr, __aeabi_memclr4, __aeabi_memclr8
    .type memset, %function
    .type __aeabi_memset, %function
    .type __aeabi_memset4, %function
    .type __aeabi_memset8, %function
    .type __aeabi_memclr, %function
    .type __aeabi_memclr4, %function
    .type __aeabi_memclr8, %function
    .thumb_func
memset:
    mov     r3, r1
    mov     r1, r2
    mov     r2, r3
    b       __aeabi_memset
    .thumb_func
__aeabi_memclr:
__aeabi_memclr4:
__aeabi_memclr8:
    movs    r2, #0
    .thumb_func
__aeabi_memset:
__aeabi_memset4:
__aeabi_memset8:
    uxtb    r2, r2
    orr     r2, r2, r2, lsl #8
    orr     r2, r2, r2, lsl #16
    mov     ip, r0
    b       2f
1:  str     r2, [ip], #4
2:  subs    r1, #4
    bhs     1b
    adds    r1, #4
    b       4f
3:  strb    r2, [ip], #1
4:  subs    r1, #1
    bhs     3b
    bx      lr
    .size memset, . - memset

@ int memcmp(const void *a, const void *b, size_t len)
    .section .text.memcmp, "ax", %progbits
    .global memcmp
    .type memcmp, %function
    .thumb_func
memcmp:
    mov     ip, r0
    movs    r0, #0
    b       2f
1:  ldrb    r0, [ip], #1
    ldrb    r3, [r1], #1
    subs    r0, r0, r3
    bne     3f
2:  subs    r2, #1
    bhs     1b
3:  bx      lr
    .size memcmp, . - memcmp
