/* Sound at another rate, block after block: a windowed sinc, one set of taps for each place that an output sample can have
 * between two input samples. Rates are whole numbers, so the places repeat and time never drifts.
 * (J. O. Smith, Digital Audio Resampling, https://ccrma.stanford.edu/~jos/resample) */

#ifndef RESAMPLE_H
#define RESAMPLE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ZERO_CROSSINGS 24 /* of the sinc, on either side */
#define KAISER_BETA 8.0   /* what aliases is 80 dB down */
#define PASSBAND 0.95     /* of the lower rate's half */
#define PI 3.14159265358979323846

typedef struct {
    int from, to;    /* Hz */
    int up, down;    /* to : from in lowest terms */
    int taps;        /* input samples that one output sample hears; 1 between equal rates, which changes nothing */
    int phase;       /* of the next output sample after the newest input sample, in units of 1/up input samples */
    float *filter;   /* (up, taps) */
    float *sound;    /* the last `taps` input samples of the block before, then those of this block */
    size_t block;    /* the most output samples of a block */
    size_t position; /* of the oldest sample of `sound` that the next output sample hears */
} resampler;

static double kaiser(double x) { /* at x in [-1, 1]: the Bessel function I0, not normalised */
    double sum = 1, term = 1, half = KAISER_BETA / 2 * sqrt(fmax(0, 1 - x * x));
    for (int k = 1; term > 1e-12 * sum; k++) sum += term *= (half / k) * (half / k);
    return sum;
}

/* How many input samples a block of so many output samples needs. */
static size_t resampler_needs(const resampler *r, size_t outputs) {
    return outputs ? ((size_t)r->phase + (outputs - 1) * (size_t)r->down) / (size_t)r->up : 0;
}

static void resampler_free(resampler *r) {
    free(r->filter);
    free(r->sound);
    memset(r, 0, sizeof *r);
}

/* Ready for blocks of at most `block` output samples, after silence. Returns 0, or -1 without enough memory. */
static int resampler_init(resampler *r, int from, int to, size_t block) {
    int divisor = from, rest = to;
    while (rest) {
        const int next = divisor % rest;
        divisor = rest, rest = next;
    }
    memset(r, 0, sizeof *r);
    r->from = from, r->to = to, r->block = block;
    r->up = to / divisor, r->down = from / divisor;
    r->phase = r->up; /* an input sample comes first */
    const double cutoff = PASSBAND * fmin(1, (double)to / from);
    const int half = (int)ceil(ZERO_CROSSINGS / cutoff);
    r->taps = from == to ? 1 : 2 * half;
    const size_t taps = (size_t)r->taps, room = taps + block * (size_t)r->down / (size_t)r->up + 2;
    r->filter = malloc((size_t)r->up * taps * sizeof(float));
    r->sound = calloc(room, sizeof(float));
    if (!r->filter || !r->sound) {
        resampler_free(r);
        return -1;
    }
    if (from == to) {
        r->filter[0] = 1;
        return 0;
    }
    for (int phase = 0; phase < r->up; phase++) {
        float *filter = r->filter + (size_t)phase * taps;
        double sum = 0;
        for (int tap = 0; tap < r->taps; tap++) {
            const double distance = tap + 1 - half - (double)phase / r->up, angle = PI * cutoff * distance;
            filter[tap] = (float)((angle == 0 ? 1 : sin(angle) / angle) * kaiser(distance / half));
            sum += filter[tap];
        }
        for (int tap = 0; tap < r->taps; tap++) filter[tap] = (float)(filter[tap] / sum);
    }
    return 0;
}

/* Begins a block: where its input samples are to be written, as many as resampler_needs says. */
static float *resampler_room(resampler *r) {
    memmove(r->sound, r->sound + r->position, (size_t)r->taps * sizeof(float));
    r->position = 0;
    return r->sound + r->taps;
}

/* The next output sample of the block. */
static float resampler_next(resampler *r) {
    for (; r->phase >= r->up; r->phase -= r->up) r->position++;
    const float *filter = r->filter + (size_t)r->phase * (size_t)r->taps, *sound = r->sound + r->position;
    float sum = 0;
    for (int tap = 0; tap < r->taps; tap++) sum += filter[tap] * sound[tap];
    r->phase += r->down;
    return sum;
}

/* A whole sound at another rate, to be freed. NULL without enough memory. */
static float *resampled(const float *sound, size_t count, int from, int to, size_t *made) {
    resampler r;
    *made = (size_t)((double)count * to / from);
    const size_t ahead = (size_t)ceil(2 * ZERO_CROSSINGS / PASSBAND * fmax(1, (double)to / from)); /* what the sinc hears of it */
    float *out = malloc((*made + 1) * sizeof(float));
    if (!out || resampler_init(&r, from, to, *made + ahead)) {
        free(out);
        return NULL;
    }
    r.phase = r.up * (r.taps / 2 + 1); /* the first output sample is at the first input sample */
    const size_t needed = resampler_needs(&r, *made);
    float *room = resampler_room(&r);
    for (size_t i = 0; i < needed; i++) room[i] = i < count ? sound[i] : 0;
    for (size_t i = 0; i < *made; i++) out[i] = resampler_next(&r);
    resampler_free(&r);
    return out;
}

#endif
