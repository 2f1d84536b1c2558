// The same additions as in locks.rs, under a pthread_mutex: a line `THREADS N` on stdin,
// the seconds that N additions of each thread took on stdout. The arguments are the CPUs
// that the threads are spread over.

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST = 64 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t all_are_here;
static long balance;
static long times;

struct span {
    int cpu; // -1: any
    double begin, end;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *add(void *arg) {
    struct span *span = arg;
    if (span->cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(span->cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    pthread_barrier_wait(&all_are_here);
    span->begin = now();
    for (long n = 0; n < times; n++) {
        pthread_mutex_lock(&mutex);
        balance++;
        pthread_mutex_unlock(&mutex);
    }
    span->end = now();
    return NULL;
}

static void must(int ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("C");
    int threads;
    while (scanf("%d %ld", &threads, &times) == 2) {
        pthread_t thread[MOST];
        struct span spans[MOST];
        must(threads > 0 && threads <= MOST, "the number of threads");
        must(pthread_barrier_init(&all_are_here, NULL, (unsigned)threads) == 0, "barrier");
        balance = 0;
        for (int n = 0; n < threads; n++) {
            spans[n].cpu = argc > 1 ? atoi(argv[1 + n % (argc - 1)]) : -1;
            must(pthread_create(&thread[n], NULL, add, &spans[n]) == 0, "pthread_create");
        }
        double begin = 1e300, end = 0;
        for (int n = 0; n < threads; n++) {
            must(pthread_join(thread[n], NULL) == 0, "pthread_join");
            begin = spans[n].begin < begin ? spans[n].begin : begin;
            end = spans[n].end > end ? spans[n].end : end;
        }
        must(balance == threads * times, "the balance");
        must(pthread_barrier_destroy(&all_are_here) == 0, "barrier");
        printf("%.9f\n", end - begin);
    }
    return 0;
}
