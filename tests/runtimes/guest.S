# A guest in one sector: tells its name and a token on its serial port, and does what its third byte says:
#   0  waits for its power button, and switches itself off
#   1  does not hear its power button
#   2  crashes
#   3  crashes after a second
#   4  switches itself off after a second
#   5  tells after a second that it is late, then is as 0
# as --32 -o guest.o guest.S && ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o guest.bin guest.o
        .code16
        .globl  _start
_start: jmp     begin
behaviour: .byte 0
begin:  xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        movw    $0x7c00, %sp
        cld
        movb    behaviour, %bl
        movw    $text, %si
        call    print
        cmpb    $1, %bl
        je      sleep
        cmpb    $2, %bl
        je      crash
        jb      listen
        movb    $0x86, %ah              # wait: 0xf0000 microseconds
        movw    $0x0f, %cx
        xorw    %dx, %dx
        sti
        int     $0x15
        cmpb    $4, %bl
        jb      crash
        je      off
        movw    $late, %si
        call    print
listen: movw    $0x602, %dx             # the power button is heard
        movw    $0x100, %ax
        outw    %ax, %dx
await:  sti
        hlt
        movw    $0x600, %dx
        inw     %dx, %ax
        testw   $0x100, %ax             # it was pressed
        jz      await
off:    movw    $0x604, %dx             # soft off
        movw    $0x2000, %ax
        outw    %ax, %dx
sleep:  cli
        hlt
        jmp     sleep
crash:  movw    $0x505, %dx             # pvpanic
        movb    $1, %al
        outb    %al, %dx
        jmp     sleep
print:  movw    $0x3f8, %dx             # the first serial port
next:   lodsb
        testb   %al, %al
        jz      done
        outb    %al, %dx
        jmp     next
done:   ret
text:   .asciz  "a guest\r\ntoken=0a1b2c3d4e5f\r\nready\r\n"
late:   .asciz  "late\r\n"
        .org    510
        .word   0xaa55
