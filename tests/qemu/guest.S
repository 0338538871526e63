#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.


# A guest without an operating system: 64 KiB that the machine finds where it
# expects its firmware. It writes one word into each of PAGES pages from 1 MiB
# on, so that there is something to migrate, and then halts; with REPEAT it
# goes on writing instead, so that pages get dirty while they are sent.
#
#     as --32 --defsym PAGES=8192 --defsym REPEAT=0 -o guest.o guest.S
#     ld -m elf_i386 -Ttext 0xffff0000 --oformat binary -o guest.rom guest.o

        .set    CODE, 8
        .set    DATA, 16

        .text
        .code16
rom:
        cli
        # The reset left the segment at the top of the address space, where
        # the whole ROM is.
        lgdtl   %cs:(gdt_pointer - rom)
        movl    %cr0, %eax
        orl     $1, %eax
        movl    %eax, %cr0
        ljmpl   $CODE, $protected

        .code32
protected:
        movw    $DATA, %ax
        movw    %ax, %ds
        xorl    %ebx, %ebx
again:
        # Never zero: QEMU does not send the content of a zero page.
        addl    $2, %ebx
        orl     $1, %ebx
        movl    $0x100000, %edi
        movl    $PAGES, %ecx
fill:
        movl    %ebx, (%edi)
        addl    $4096, %edi
        loop    fill
        .if     REPEAT
        jmp     again
        .endif
rest:
        hlt
        jmp     rest

        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9a000000ffff
        .quad   0x00cf92000000ffff
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        # The first instruction that the processor fetches.
        .org    0xfff0
        .code16
        jmp     rom
        .org    0xffff
        .byte   0
