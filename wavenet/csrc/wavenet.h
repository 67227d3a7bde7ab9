/* The C interface of WaveNet: load an exported network, make a player, and take its sound.
 *
 *     char error[256];
 *     wavenet_model *model = wavenet_load_file("piano.wavenet", error, sizeof error);
 *     wavenet_player *player = wavenet_player_new(model, error, sizeof error);
 *     float sound[1024];
 *     wavenet_generate(player, sound, 1024);
 *
 * Sound is one channel of floats in [-1, 1] at the model's sample rate. Lengths are in samples, unless they say seconds.
 *
 * Threads. A model never changes, so any number of threads and players may use it. Settings of a player (wavenet_set_*,
 * wavenet_prime, wavenet_restart) may be called from any thread at any time: they never wait, and take no lock. One
 * thread at a time calls wavenet_generate, and one at a time wavenet_render. wavenet_start, wavenet_stop and
 * wavenet_player_free belong to one thread; no other call may still be running when the player is freed.
 *
 * What is refused changes nothing. Functions with an `error` return NULL and write one line of at most `error_size`
 * bytes, the final 0 included; `error` may be NULL. */

#ifndef WAVENET_H
#define WAVENET_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define WAVENET_API __attribute__((visibility("default")))
#else
#define WAVENET_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wavenet_model wavenet_model;
typedef struct wavenet_player wavenet_player;

/* ---- Models */

/* The network in these bytes of an exported file, which are copied, on the fastest instruction set of this processor. */
WAVENET_API wavenet_model *wavenet_load(const void *bytes, size_t size, char *error, size_t error_size);

/* The network in this file. */
WAVENET_API wavenet_model *wavenet_load_file(const char *path, char *error, size_t error_size);

/* As wavenet_load, on one instruction set: "avx512bf16", "avx512", "avxvnni" or "avx2" on x86; "i8mm", "dotprod" or "neon" on
 * ARM; "portable"; or "auto". Networks whose numbers are rounded differently sound alike, but make other samples. Refuses a
 * set that this processor does not run. */
WAVENET_API wavenet_model *wavenet_load_for(const char *instruction_set, const void *bytes, size_t size, char *error,
                                            size_t error_size);

/* Frees a model. Its players keep what they need and play on. NULL is allowed. */
WAVENET_API void wavenet_model_free(wavenet_model *model);

/* Samples per second. */
WAVENET_API int wavenet_sample_rate(const wavenet_model *model);

/* How many past samples decide the next one; the most of a prime that is heard. */
WAVENET_API int64_t wavenet_receptive_field(const wavenet_model *model);

/* The instruction set that runs it, such as "avx2". */
WAVENET_API const char *wavenet_instruction_set(const wavenet_model *model);

/* How many labelled values the network knows, such as "june" of the label "speaker"; 0 if it has no labels. Value i is
 * in 0 .. count - 1; for any other, name and value are NULL. The texts are UTF-8 and live as long as the model. */
WAVENET_API int wavenet_label_count(const wavenet_model *model);
WAVENET_API const char *wavenet_label_name(const wavenet_model *model, int i);
WAVENET_API const char *wavenet_label_value(const wavenet_model *model, int i);

/* The labelled value of this name. A label of NULL means any. Returns -1 if there is none, -2 if several labels have it. */
WAVENET_API int wavenet_find_label(const wavenet_model *model, const char *label, const char *value);

/* ---- Players */

/* A player of this model, at the beginning of its sound: temperature 1, every code allowed, no labels, seed 0, after
 * silence. */
WAVENET_API wavenet_player *wavenet_player_new(const wavenet_model *model, char *error, size_t error_size);

/* Stops and frees a player. NULL is allowed. */
WAVENET_API void wavenet_player_free(wavenet_player *player);

/* ---- Settings, from any thread. They return 0, or -1 for a value that is refused. */

/* Below 1 is tamer, above 1 is wilder; 0 always takes the likeliest code. Refuses numbers below 0 and those that are not
 * finite. */
WAVENET_API int wavenet_set_temperature(wavenet_player *player, double temperature);

/* Draws only from the k likeliest codes; 0 draws from all. Refuses numbers below 0, and any but 0 for a network that
 * ends in a mixture (16-bit sound). */
WAVENET_API int wavenet_set_top_k(wavenet_player *player, int k);

/* Draws from the smallest set of codes that holds this probability; 1 draws from all. Refuses numbers that are not above
 * 0 and at most 1, and any but 1 for a network that ends in a mixture. */
WAVENET_API int wavenet_set_top_p(wavenet_player *player, double p);

/* How much labelled value i shapes the sound. One weight of 1 is that value, 0.7 and 0.3 mix two, and all 0, the
 * beginning, is a sound without labels. Refuses an i that the model does not have and weights outside -10 .. 10. */
WAVENET_API int wavenet_set_label(wavenet_player *player, int i, double weight);

/* Chooses the random numbers, from the next sample on. A seed gives the same sound again if wavenet_restart follows. */
WAVENET_API int wavenet_set_seed(wavenet_player *player, uint64_t seed);

/* Begins the sound anew, continuing this recording, which has the model's sample rate. The samples are copied (so this
 * one setting allocates memory), at most the last wavenet_receptive_field of them. Values outside [-1, 1] are clamped.
 * A count of 0 forgets the prime and begins after silence. Refuses numbers that are not finite. */
WAVENET_API int wavenet_prime(wavenet_player *player, const float *samples, size_t count);

/* Begins the sound anew: after the last prime, or after silence if there is none. */
WAVENET_API int wavenet_restart(wavenet_player *player);

/* ---- Sound on demand */

/* Writes the next n samples. It takes as long as they take, and allocates memory. Settings count from the next call on,
 * or within 512 samples. Equal settings and seeds give equal samples on one instruction set, however they are divided
 * into calls: those of wavenet-generate. Returns 0, or -1 with silence while the player is started or if memory ran
 * out. */
WAVENET_API int wavenet_generate(wavenet_player *player, float *out, size_t n);

/* ---- Places in the sound, for callers that make it ahead and want to make it anew when a setting has changed. */

/* Bytes of a saved place. */
WAVENET_API size_t wavenet_state_size(const wavenet_player *player);

/* Writes the place in the sound, wavenet_state_size bytes. A new prime is heard first. Returns 0, or -1 while the player is
 * started or if memory ran out. */
WAVENET_API int wavenet_save(wavenet_player *player, void *state);

/* Goes back to a place that was saved by a player of the same model. The settings stay as they are, so that with equal
 * ones the same samples follow. Returns 0, or -1 while the player is started or if memory ran out. */
WAVENET_API int wavenet_restore(wavenet_player *player, const void *state);

/* ---- Sound in real time. These functions are missing where the library is built without threads, as for WebAssembly. */

/* Starts a thread of the player's own, which makes sound ahead of wavenet_render. Returns 0 when as much is ready as
 * wavenet_latency says, or -1 if no thread can be started. Starting twice is allowed. */
WAVENET_API int wavenet_start(wavenet_player *player);

/* Writes the next n samples and returns how many of them were missing, which are silence at the end of `out`: the network
 * was too slow, or the player is not started. It never waits, allocates or takes a lock, so an audio thread may call it. */
WAVENET_API size_t wavenet_render(wavenet_player *player, float *out, size_t n);

/* How many samples were missing since the player was made, while it was started. */
WAVENET_API uint64_t wavenet_underruns(const wavenet_player *player);

/* How far ahead of wavenet_render sound is made, in seconds: 0.1 at first. What was made ahead is played out, so this is
 * also the longest time from a setting to its sound, not counting the caller's own block and sound card. A new prime
 * comes later by the time that the network needs to hear it; meanwhile the old sound goes on. Shorter is more direct,
 * longer survives a busier machine. Refuses seconds outside 0.01 .. 1. If blocks longer than half of it are rendered, it
 * grows to two blocks. */
WAVENET_API int wavenet_set_latency(wavenet_player *player, double seconds);
WAVENET_API double wavenet_latency(const wavenet_player *player);

/* Ends the player's thread. What was made ahead can still be rendered, and starting again continues the sound. */
WAVENET_API void wavenet_stop(wavenet_player *player);

#ifdef __cplusplus
}
#endif

#endif
