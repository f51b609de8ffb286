/* A wall clock that is wrong by TORTURE_CLOCK_SECONDS, from TORTURE_CLOCK_AFTER seconds after the
   first look at it. The monotonic clocks stay right, as they do when somebody sets the time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);

static time_t offset(void) {
    static double first;
    static long seconds, after;
    struct timespec t;
    if (!real) {
        real = dlsym(RTLD_NEXT, "clock_gettime");
        const char *s = getenv("TORTURE_CLOCK_SECONDS"), *a = getenv("TORTURE_CLOCK_AFTER");
        seconds = s ? atol(s) : 0;
        after = a ? atol(a) : 0;
    }
    real(CLOCK_MONOTONIC, &t);
    double now = t.tv_sec + t.tv_nsec * 1e-9;
    if (first == 0) first = now;
    return now - first >= after ? seconds : 0;
}

int clock_gettime(clockid_t id, struct timespec *t) {
    time_t wrong = offset();
    int result = real(id, t);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += wrong;
    return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
