/* wavenet~ plays an exported network in Pure Data. Its help patch describes its messages.
 *
 * A file is loaded in a thread of its own, while the sound before it goes on: nothing here keeps Pd waiting for longer than
 * a message does. Messages that come meanwhile are for the new network, so they wait for it. Sound comes from the real-time
 * runner of wavenet.h; without real time, as in `pd -batch`, from wavenet_generate, in which no sample is ever missing. */

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <m_pd.h>

#include "../wavenet.h"
#include "resample.h"

#define POLL_MS 5       /* how often a thread that loads is looked at */
#define UNDERRUN_MS 500 /* the least time between two words about missing samples */

/* ---- Voices: a network that plays, or that is on its way */

typedef struct {
    wavenet_model *model;
    wavenet_player *player;
    const t_symbol *path;
    char error[1000]; /* empty if all is well */
    int offline;      /* sound is made on demand */
    int loaded;       /* the object sees the model and the player */
    pthread_t thread;
    atomic_int done;  /* the thread's work */
} voice;

static void *voice_load(void *of) {
    voice *v = of;
    v->model = wavenet_load_file(v->path->s_name, v->error, sizeof v->error);
    v->player = v->model ? wavenet_player_new(v->model, v->error, sizeof v->error) : NULL;
    v->done = 1;
    return NULL;
}

static void *voice_start(void *of) { /* takes as long as a tenth of a second of sound takes to make */
    voice *v = of;
    if (wavenet_start(v->player)) snprintf(v->error, sizeof v->error, "no thread can be started for the sound");
    v->done = 1;
    return NULL;
}

static void *voice_free(void *of) { /* waits for the player's thread */
    voice *v = of;
    if (v) wavenet_player_free(v->player), wavenet_model_free(v->model);
    free(v);
    return NULL;
}

/* ---- The object */

static t_class *wavenet_class;
static int batch; /* Pd runs ahead of the clock */

/* Settings that are one number. They are kept, so that they hold for the next file too. */
enum { NUMBERS = 5 };

static int whole(double x, double most) { return x >= 0 && x <= most && x == floor(x); }
static int set_temperature(wavenet_player *p, double x) { return wavenet_set_temperature(p, x); }
static int set_top_k(wavenet_player *p, double x) { return whole(x, 1e9) ? wavenet_set_top_k(p, (int)x) : -1; }
static int set_top_p(wavenet_player *p, double x) { return wavenet_set_top_p(p, x); }
static int set_seed(wavenet_player *p, double x) { return whole(x, 1e18) ? wavenet_set_seed(p, (uint64_t)x) : -1; }
static int set_latency(wavenet_player *p, double x) { return wavenet_set_latency(p, x / 1000); }

static const struct {
    const char *name, *allowed;
    double initial;
    int (*set)(wavenet_player *, double);
} numbers[NUMBERS] = {
    {"temperature", "a number of at least 0", 1, set_temperature},
    {"top_k", "a whole number of at least 0, and 0 for 16-bit networks", 0, set_top_k},
    {"top_p", "greater than 0 and at most 1, and 1 for 16-bit networks", 1, set_top_p},
    {"seed", "a whole number of at least 0", 0, set_seed},
    {"latency", "from 10 to 1000 milliseconds", 100, set_latency},
};

typedef struct {
    t_object object;
    t_canvas *canvas;
    t_outlet *sound, *words;
    voice *playing;               /* NULL before the first file */
    voice *coming;                /* is loaded or started by its thread; else NULL */
    const t_symbol *wanted;       /* the path of the file that is to come instead; NULL if none */
    t_binbuf *waiting;            /* messages for the file that is loaded */
    double numbers[NUMBERS];
    int offline;                  /* for the next file */
    int rate, block;              /* of the signal; 0 before the first */
    resampler resampler;
    t_clock *poll, *underrun;
    int telling;                  /* whether `underrun` is set */
} t_wavenet;

/* The voice that messages are for; NULL if there is none yet. */
static const voice *target(const t_wavenet *x) { return x->coming && x->coming->loaded ? x->coming : x->playing; }

/* Sets a number. Says so if the voice refuses it. */
static int refuses(t_wavenet *x, voice *v, int i, double value) {
    if (!numbers[i].set(v->player, value)) return 0;
    pd_error(x, "wavenet~: %s is %g, but it must be %s", numbers[i].name, value, numbers[i].allowed);
    return 1;
}

static void say_number(t_wavenet *x, const char *name, double number) {
    t_atom atom;
    SETFLOAT(&atom, (t_float)number);
    outlet_anything(x->words, gensym(name), 1, &atom);
}

/* ---- Playing */

/* Makes the resampler fit the signal and the network. */
static void tune(t_wavenet *x) {
    if (!x->playing || !x->rate) return;
    const int from = wavenet_sample_rate(x->playing->model);
    resampler *r = &x->resampler;
    if (r->from == from && r->to == x->rate && r->block == (size_t)x->block) return; /* the sound goes on */
    resampler_free(r);
    if (resampler_init(r, from, x->rate, (size_t)x->block))
        pd_error(x, "wavenet~: there is not enough memory to play %d Hz at %d Hz", from, x->rate);
}

static t_int *wavenet_perform(t_int *w) {
    t_wavenet *x = (t_wavenet *)w[1];
    t_sample *out = (t_sample *)w[2];
    const size_t n = (size_t)w[3];
    resampler *r = &x->resampler;
    if (!x->playing || !r->filter) {
        memset(out, 0, n * sizeof *out);
        return w + 4;
    }
    wavenet_player *p = x->playing->player;
    const size_t needed = resampler_needs(r, n);
    float *room = resampler_room(r);
    if (x->playing->offline) wavenet_generate(p, room, needed);
    else if (wavenet_render(p, room, needed) && !x->telling) {
        clock_delay(x->underrun, UNDERRUN_MS);
        x->telling = 1;
    }
    for (size_t i = 0; i < n; i++) out[i] = resampler_next(r);
    return w + 4;
}

static void wavenet_dsp(t_wavenet *x, t_signal **signals) {
    x->rate = (int)lrint(signals[0]->s_sr);
    x->block = signals[0]->s_n;
    tune(x);
    dsp_add(wavenet_perform, 3, x, signals[0]->s_vec, (t_int)signals[0]->s_n);
}

static void wavenet_underrun(t_wavenet *x) {
    x->telling = 0;
    if (x->playing) say_number(x, "underruns", (double)wavenet_underruns(x->playing->player));
}

/* ---- Words about the network */

static void obey_info(t_wavenet *x, int count, t_atom *atoms) {
    (void)count, (void)atoms;
    const voice *v = target(x);
    say_number(x, "samplerate", wavenet_sample_rate(v->model));
    for (int i = 0; i < wavenet_label_count(v->model); i++) {
        t_atom label[2];
        SETSYMBOL(&label[0], gensym(wavenet_label_name(v->model, i)));
        SETSYMBOL(&label[1], gensym(wavenet_label_value(v->model, i)));
        outlet_anything(x->words, gensym("label"), 2, label);
    }
    say_number(x, "underruns", (double)wavenet_underruns(v->player));
}

/* ---- Opening a file: load, settle, start, adopt */

/* The settings that hold, and the messages that waited, in their order. */
static void settle(t_wavenet *x, voice *v) {
    v->loaded = 1;
    for (int i = 0; i < NUMBERS; i++)
        if (refuses(x, v, i, x->numbers[i])) x->numbers[i] = numbers[i].initial;
    t_binbuf *waited = x->waiting;
    x->waiting = binbuf_new();
    binbuf_eval(waited, &x->object.ob_pd, 0, NULL);
    binbuf_free(waited);
}

static void discard(voice *v) {
    pthread_t thread;
    if (v && pthread_create(&thread, NULL, voice_free, v)) voice_free(v);
    else if (v) pthread_detach(thread);
}

/* The file could not be opened; the sound before it goes on. */
static void give_up(t_wavenet *x) {
    pd_error(x, "wavenet~: %s", x->coming->error);
    discard(x->coming);
    x->coming = NULL;
    binbuf_clear(x->waiting);
}

static void begin(t_wavenet *x, const t_symbol *path);

/* Goes on with a file that was wanted meanwhile. Returns whether there was one. */
static int begin_wanted(t_wavenet *x) {
    const t_symbol *path = x->wanted;
    if (!path) return 0;
    x->wanted = NULL;
    discard(x->coming);
    begin(x, path);
    return 1;
}

static void adopt(t_wavenet *x) {
    discard(x->playing);
    x->playing = x->coming;
    x->coming = NULL;
    resampler_free(&x->resampler);
    tune(x);
    t_atom path;
    SETSYMBOL(&path, gensym(x->playing->path->s_name));
    outlet_anything(x->words, gensym("opened"), 1, &path);
    obey_info(x, 0, NULL);
}

static void work(t_wavenet *x, void *(*of_voice)(void *)) {
    x->coming->done = 0;
    if (pthread_create(&x->coming->thread, NULL, of_voice, x->coming)) {
        snprintf(x->coming->error, sizeof x->coming->error, "no thread can be started to open %s", x->coming->path->s_name);
        give_up(x);
    } else clock_delay(x->poll, POLL_MS);
}

static void begin(t_wavenet *x, const t_symbol *path) {
    voice *v = x->coming = calloc(1, sizeof *v);
    if (!v) {
        pd_error(x, "wavenet~: there is not enough memory to open %s", path->s_name);
        return;
    }
    v->path = path;
    v->offline = x->offline;
    if (!v->offline) {
        work(x, voice_load);
        return;
    }
    voice_load(v);
    if (v->error[0]) give_up(x);
    else if (settle(x, v), !begin_wanted(x)) adopt(x);
}

/* What follows when a thread's work is done. */
static void wavenet_poll(t_wavenet *x) {
    voice *v = x->coming;
    if (!v->done) {
        clock_delay(x->poll, POLL_MS);
        return;
    }
    pthread_join(v->thread, NULL);
    if (begin_wanted(x)) return;
    if (v->error[0]) give_up(x);
    else if (v->loaded) adopt(x);
    else settle(x, v), work(x, voice_start);
}

/* ---- Messages */

/* An atom as text, which is `number` if it is one. */
static const char *text(const t_atom *atom, char number[32]) {
    if (atom->a_type == A_SYMBOL) return atom->a_w.w_symbol->s_name;
    snprintf(number, 32, "%g", (double)atom_getfloat(atom));
    return number;
}

static void obey_open(t_wavenet *x, int count, t_atom *atoms) {
    char number[32], folder[MAXPDSTRING], path[2 * MAXPDSTRING], *name;
    if (count != 1) {
        pd_error(x, "wavenet~: open needs one file, which wavenet-export wrote");
        return;
    }
    const int file = canvas_open(x->canvas, text(atoms, number), "", folder, &name, sizeof folder, 1);
    if (file < 0) {
        pd_error(x, "wavenet~: %s is no file beside the patch or in Pd's search path", text(atoms, number));
        return;
    }
    sys_close(file);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    binbuf_clear(x->waiting);
    if (x->coming) x->wanted = gensym(path);
    else begin(x, gensym(path));
}

static void obey_label(t_wavenet *x, int count, t_atom *atoms) {
    char first[32], second[32];
    if (count < 2 || count > 3 || atoms[count - 1].a_type != A_FLOAT) {
        pd_error(x, "wavenet~: label needs a value's name and a weight, or a label, a value and a weight");
        return;
    }
    const char *label = count == 3 ? text(atoms, first) : NULL, *value = text(&atoms[count - 2], second);
    const double weight = atom_getfloat(&atoms[count - 1]);
    const int i = wavenet_find_label(target(x)->model, label, value);
    if (i == -2) pd_error(x, "wavenet~: %s is a value of several labels: send label, value and weight", value);
    else if (i < 0)
        pd_error(x, "wavenet~: the network knows no %s%s%s; send info to see its labels", label ? label : "", label ? " " : "", value);
    else if (wavenet_set_label(target(x)->player, i, weight))
        pd_error(x, "wavenet~: the weight of %s is %g, but it must be from -10 to 10", value, weight);
}

/* The sound continues the end of an array, which has Pd's rate if no other is given. */
static void obey_prime(t_wavenet *x, int count, t_atom *atoms) {
    const voice *v = target(x);
    if (!count) {
        wavenet_prime(v->player, NULL, 0);
        return;
    }
    char number[32];
    const char *name = text(atoms, number);
    t_garray *array = (t_garray *)pd_findbyclass(gensym(name), garray_class);
    const int rate = (int)lrint(count > 1 ? atom_getfloat(&atoms[1]) : sys_getsr()), own = wavenet_sample_rate(v->model);
    int size;
    t_word *words;
    if (!array || !garray_getfloatwords(array, &size, &words)) {
        pd_error(x, "wavenet~: there is no array %s", name);
        return;
    }
    if (rate < 1 || rate > 1000000) {
        pd_error(x, "wavenet~: the rate of %s is %d, but it must be from 1 to 1000000 Hz", name, rate);
        return;
    }
    const double heard = ((double)wavenet_receptive_field(v->model) + 100) * rate / own + 100; /* and by the resampler before */
    const int kept = size < heard ? size : (int)heard;
    float *end = malloc(((size_t)kept + 1) * sizeof *end), *sound = NULL;
    size_t made = 0;
    for (int i = 0; end && i < kept; i++) end[i] = (float)words[size - kept + i].w_float;
    if (end) sound = resampled(end, (size_t)kept, rate, own, &made);
    if (!sound) pd_error(x, "wavenet~: there is not enough memory to hear %s", name);
    else if (wavenet_prime(v->player, sound, made)) pd_error(x, "wavenet~: %s has numbers that are not finite", name);
    free(end), free(sound);
}

static void obey_bang(t_wavenet *x, int count, t_atom *atoms) {
    (void)count, (void)atoms;
    wavenet_restart(target(x)->player);
}

static void obey_offline(t_wavenet *x, int count, t_atom *atoms) {
    x->offline = !count || atom_getfloat(atoms) != 0;
}

static void obey_number(t_wavenet *x, int i, int count, t_atom *atoms) {
    if (count != 1 || atoms->a_type != A_FLOAT) {
        pd_error(x, "wavenet~: %s needs one number, %s", numbers[i].name, numbers[i].allowed);
        return;
    }
    const double value = atom_getfloat(atoms);
    if (x->playing && refuses(x, x->playing, i, value)) return;
    if (x->coming && x->coming->loaded && refuses(x, x->coming, i, value)) return;
    x->numbers[i] = value; /* without a network, the next one may still refuse it */
}

static const struct {
    const char *name;
    void (*obey)(t_wavenet *, int, t_atom *);
    int of_network; /* and so waits for one that is loaded */
} messages[] = {{"open", obey_open, 0},   {"offline", obey_offline, 0}, {"label", obey_label, 1},
                {"prime", obey_prime, 1}, {"bang", obey_bang, 1},       {"info", obey_info, 1}};

static void wavenet_anything(t_wavenet *x, t_symbol *name, int count, t_atom *atoms) {
    for (int i = 0; i < NUMBERS; i++)
        if (!strcmp(name->s_name, numbers[i].name)) {
            obey_number(x, i, count, atoms);
            return;
        }
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        if (strcmp(name->s_name, messages[i].name)) continue;
        if (messages[i].of_network && x->coming && (!x->coming->loaded || x->wanted)) {
            binbuf_addv(x->waiting, "s", name);
            binbuf_add(x->waiting, count, atoms);
            binbuf_addsemi(x->waiting);
        } else if (messages[i].of_network && !target(x))
            pd_error(x, "wavenet~: %s came before a network: send open and a file that wavenet-export wrote", name->s_name);
        else messages[i].obey(x, count, atoms);
        return;
    }
    pd_error(x, "wavenet~: there is no message %s; send open, temperature, top_k, top_p, label, seed, prime, bang, latency, "
                "offline or info", name->s_name);
}

/* ---- The class */

static void *wavenet_new(t_symbol *name, int count, t_atom *atoms) {
    (void)name;
    t_wavenet *x = (t_wavenet *)pd_new(wavenet_class);
    x->canvas = canvas_getcurrent();
    x->sound = outlet_new(&x->object, &s_signal);
    x->words = outlet_new(&x->object, &s_anything);
    x->playing = x->coming = NULL;
    x->wanted = NULL;
    x->waiting = binbuf_new();
    for (int i = 0; i < NUMBERS; i++) x->numbers[i] = numbers[i].initial;
    x->offline = batch;
    x->rate = x->block = 0;
    memset(&x->resampler, 0, sizeof x->resampler);
    x->poll = clock_new(x, (t_method)wavenet_poll);
    x->underrun = clock_new(x, (t_method)wavenet_underrun);
    x->telling = 0;
    if (count) obey_open(x, count, atoms);
    return x;
}

static void wavenet_free(t_wavenet *x) {
    clock_free(x->poll);
    clock_free(x->underrun);
    if (x->coming) pthread_join(x->coming->thread, NULL);
    discard(x->coming);
    discard(x->playing);
    resampler_free(&x->resampler);
    binbuf_free(x->waiting);
}

/* Whether Pd was started with -batch, which it tells nobody; where this cannot be seen, patches send `offline 1`. */
static int started_as_batch(void) {
    char argument[16] = "";
    size_t length = 0;
    FILE *file = fopen("/proc/self/cmdline", "rb"); /* each argument ends in a 0 */
    int found = 0, c;
    while (file && !found && (c = getc(file)) != EOF) {
        argument[length] = (char)c;
        if (length < sizeof argument - 1) length++;
        if (c) continue;
        found = !strcmp(argument, "-batch");
        length = 0;
    }
    if (file) fclose(file);
    return found;
}

WAVENET_API void wavenet_tilde_setup(void) {
    batch = started_as_batch();
    wavenet_class = class_new(gensym("wavenet~"), (t_newmethod)wavenet_new, (t_method)wavenet_free, sizeof(t_wavenet),
                              CLASS_DEFAULT, A_GIMME, 0);
    class_addmethod(wavenet_class, (t_method)wavenet_dsp, gensym("dsp"), A_CANT, 0);
    class_addanything(wavenet_class, (t_method)wavenet_anything);
}
