/* A wall clock that a test can set. Loaded before a program's own libraries (LD_PRELOAD), it adds the number of
 * seconds in the file named by CCARCHIVER_TEST_CLOCK to the kernel's time. Clocks that cannot be set on a real
 * machine (monotonic, since boot) are unchanged.
 *
 * It includes no headers and uses only the functions declared here, so any C compiler can build it without
 * development files. It calls the kernel directly because the program's libraries may not be ready yet.
 */

#if defined(__x86_64__)
#define SYS_CLOCK_GETTIME 228
#elif defined(__aarch64__)
#define SYS_CLOCK_GETTIME 113
#else
#error "add this machine's number of the system call clock_gettime"
#endif

struct timespec { long sec, nsec; };
struct timeval { long sec, usec; };

extern long syscall(long number, ...);
extern char *getenv(const char *name);
extern int open(const char *path, int flags, ...);
extern int close(int file);
extern void *dlsym(void *where, const char *name);
extern void *mmap(void *where, unsigned long length, int protection, int flags, int file, long offset);

enum { REALTIME = 0, REALTIME_COARSE = 5, READ_ONLY = 0, PROT_READ_ = 1, MAP_SHARED_ = 1, USEC_IN_NSEC = 1000 };
enum { LATEST_UPTIME = 1000000000 };

static volatile long *offset;

static long seconds(void)
{
    if (!offset) {
        const char *path = getenv("CCARCHIVER_TEST_CLOCK");
        int file = path ? open(path, READ_ONLY) : -1;
        void *place = file < 0 ? (void *)-1 : mmap(0, sizeof *offset, PROT_READ_, MAP_SHARED_, file, 0);
        if (file >= 0)
            close(file);
        if (place == (void *)-1)
            return 0;
        offset = place;
    }
    return *offset;
}

int clock_gettime(int clock, struct timespec *now)
{
    long result = syscall(SYS_CLOCK_GETTIME, clock, now);
    if (result == 0 && (clock == REALTIME || clock == REALTIME_COARSE))
        now->sec += seconds();
    return (int)result;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(REALTIME, &precise);
    now->sec = precise.sec;
    now->usec = precise.nsec / USEC_IN_NSEC;
    return 0;
}

long time(long *where)
{
    struct timespec precise;
    clock_gettime(REALTIME, &precise);
    if (where)
        *where = precise.sec;
    return precise.sec;
}

/* A wait until a moment of this clock is one until a moment of the kernel's. A condition may also have the clock since
 * boot: no machine has been up for the thirty years that have passed on the other. */
int pthread_cond_timedwait(void *condition, void *mutex, const struct timespec *until)
{
    static int (*original)(void *, void *, const struct timespec *);
    struct timespec moment = *until;
    if (!original)
        original = (int (*)(void *, void *, const struct timespec *))dlsym((void *)-1, "pthread_cond_timedwait");
    if (moment.sec > LATEST_UPTIME)
        moment.sec -= seconds();
    return original(condition, mutex, &moment);
}
