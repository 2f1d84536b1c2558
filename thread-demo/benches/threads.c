// The same calls as in threads.rs, from C: a line `WHAT N` on stdin, the seconds that N
// of them took on stdout.

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must(int ok, const char *what) {
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static void *nothing(void *arg) { return arg; }

// What Rust's std does in each thread: a stack of its own for the handler that tells of
// a stack overflow, with a page in front that nobody may touch (sigaltstack(2)).
static void *nothing_on_two_stacks(void *arg) {
    size_t page = 4096, size = SIGSTKSZ;
    stack_t old, stack = {.ss_size = size}, none = {.ss_flags = SS_DISABLE, .ss_size = size};
    sigaltstack(NULL, &old);
    char *at = mmap(NULL, page + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(at != MAP_FAILED && mprotect(at, page, PROT_NONE) == 0, "mmap");
    stack.ss_sp = at + page;
    must(sigaltstack(&stack, NULL) == 0, "sigaltstack");
    must(sigaltstack(&none, NULL) == 0, "sigaltstack");
    munmap(at, page + size);
    return arg;
}

static void thread(void *(*body)(void *)) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, body, NULL) == 0, "pthread_create");
    must(pthread_join(thread, NULL) == 0, "pthread_join");
}

static void process(void) {
    pid_t child = fork();
    must(child >= 0, "fork");
    if (child == 0)
        _exit(0);
    must(waitpid(child, NULL, 0) == child, "waitpid");
}

struct ends {
    int from, to;
};

static void *answer(void *arg) {
    struct ends *ends = arg;
    char byte;
    while (read(ends->from, &byte, 1) == 1)
        must(write(ends->to, &byte, 1) == 1, "write");
    close(ends->to);
    return NULL;
}

// There and back, N times, between two threads.
static void ping_pong(long n) {
    int there[2], back[2];
    must(pipe(there) == 0 && pipe(back) == 0, "pipe");
    struct ends ends = {there[0], back[1]};
    pthread_t partner;
    must(pthread_create(&partner, NULL, answer, &ends) == 0, "pthread_create");
    char byte = 0;
    for (long i = 0; i < n; i++) {
        must(write(there[1], &byte, 1) == 1, "write");
        must(read(back[0], &byte, 1) == 1, "read");
    }
    close(there[1]);
    must(pthread_join(partner, NULL) == 0, "pthread_join");
    close(there[0]);
    close(back[0]);
}

int main(int argc, char **argv) {
    if (argc > 1) { // the CPU to stay on
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(atoi(argv[1]), &set);
        must(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("C\n");
    char what[32];
    long n;
    while (scanf("%31s %ld", what, &n) == 2) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (strcmp(what, "ping_pong") == 0)
            ping_pong(n);
        for (long i = 0; i < n && strcmp(what, "thread") == 0; i++)
            thread(nothing);
        for (long i = 0; i < n && strcmp(what, "thread_two_stacks") == 0; i++)
            thread(nothing_on_two_stacks);
        for (long i = 0; i < n && strcmp(what, "process") == 0; i++)
            process();
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%.9f\n", (end.tv_sec - begin.tv_sec) + (end.tv_nsec - begin.tv_nsec) / 1e9);
    }
}
