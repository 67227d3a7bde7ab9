/* Plays an exported network to a sound file while its temperature moves.
 *
 *     cc to_file.c -o to_file $(pkg-config --cflags --libs wavenet) -lm
 *     ./to_file piano.wavenet piano.wav 10 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <wavenet.h>

enum { BLOCK = 256 };

static void number(FILE *file, unsigned long value, int bytes) {
    for (; bytes--; value >>= 8) fputc((int)(value & 255), file);
}

/* The header of a WAV file: one channel, 16 bits. */
static void header(FILE *file, unsigned long rate, unsigned long samples) {
    fputs("RIFF", file), number(file, 36 + 2 * samples, 4);
    fputs("WAVEfmt ", file), number(file, 16, 4), number(file, 1, 2), number(file, 1, 2);
    number(file, rate, 4), number(file, 2 * rate, 4), number(file, 2, 2), number(file, 16, 2);
    fputs("data", file), number(file, 2 * samples, 4);
}

int main(int count, char **arguments) {
    char error[256];
    if (count != 4) return fprintf(stderr, "usage: to_file model.wavenet sound.wav seconds\n"), 2;
    wavenet_model *model = wavenet_load_file(arguments[1], error, sizeof error);
    wavenet_player *player = model ? wavenet_player_new(model, error, sizeof error) : NULL;
    if (!player) return fprintf(stderr, "%s\n", error), 1;
    FILE *file = fopen(arguments[2], "wb");
    if (!file) return fprintf(stderr, "cannot write %s\n", arguments[2]), 1;

    const int rate = wavenet_sample_rate(model);
    const long samples = (long)(atof(arguments[3]) * rate);
    header(file, (unsigned long)rate, (unsigned long)samples);
    wavenet_set_seed(player, 3);
    for (long made = 0; made < samples; made += BLOCK) {
        float sound[BLOCK];
        const long part = samples - made < BLOCK ? samples - made : BLOCK;
        wavenet_set_temperature(player, 1 - 0.3 * cos((double)made / rate)); /* from 0.7 to 1.3 and back */
        if (wavenet_generate(player, sound, (size_t)part)) return fprintf(stderr, "out of memory\n"), 1;
        for (long i = 0; i < part; i++) {
            const long sample = lrintf(sound[i] * 32768);
            number(file, (unsigned long)(sample > 32767 ? 32767 : sample), 2);
        }
    }
    if (fclose(file)) return fprintf(stderr, "cannot write %s\n", arguments[2]), 1;
    wavenet_player_free(player);
    wavenet_model_free(model);
    return 0;
}
