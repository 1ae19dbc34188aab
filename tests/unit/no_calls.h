/* SPDX-License-Identifier: Apache-2.0 */
/* For children that must make no system call: a filter kills them at the first. */
#ifndef STG_NO_CALLS_H
#define STG_NO_CALLS_H

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#ifdef __x86_64__
#define THIS_ARCH AUDIT_ARCH_X86_64
#else
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

#if defined(__SANITIZE_THREAD__)
#define OWN_CALLS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OWN_CALLS 1
#endif
#endif
#ifndef OWN_CALLS
#define OWN_CALLS 0 /* the thread sanitizer makes system calls of its own: not tested under it */
#endif

/* From here on every system call but exit_group kills the process. */
static inline void no_calls_begin(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(TEST_SKIPPED);
}

/* The end of such a child: planted, it makes a call and is killed. */
static inline void no_calls_end(bool planted)
{
    if (planted)
        syscall(SYS_getppid);
    syscall(SYS_exit_group, 0);
}

static inline void no_calls_ended(pid_t pid, bool planted)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (planted)
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    else
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}

/* Under tools that make calls of their own only the planted one can be tried. */
static inline bool no_calls_untested(const char *name)
{
    const bool own = OWN_CALLS || test_valgrind();
    if (own)
        fprintf(stderr, "# %s: not tested under a tool with calls of its own\n", name);
    return own;
}

#endif
