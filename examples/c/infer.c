// SPDX-License-Identifier: Apache-2.0
// Classifies a batch of images with a PEF, without Python: infer lenet.pef lenet.pt images.npy
//
// The first input of the program takes the array, the first output with a row of scores an image gives the classes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/runtime.h"

static void check(leat_status_t status) {
  if (!status) return;
  fprintf(stderr, "infer: %s\n", leat_status_message(status));
  exit(leat_status_code(status));
}

// The first symbol of `kind` with at least `rank` dimensions.
static leat_symbol_info_t find(const leat_program_t *program, uint32_t kind, uint32_t rank, uint32_t *out_symbol) {
  leat_symbol_info_t info = {0};
  for (*out_symbol = 0; *out_symbol < leat_program_symbol_count(program); ++*out_symbol) {
    check(leat_program_symbol_info(program, *out_symbol, &info));
    if (info.kind == kind && info.rank >= rank && info.dtype == LEAT_DTYPE_F32) return info;
  }
  fprintf(stderr, "infer: the PEF has no f32 symbol of kind %u and rank %u\n", kind, rank);
  exit(LEAT_MISMATCH);
}

// A version 1 .npy file: 10 bytes, a header whose length they end with, then the array.
static float *read_npy(const char *path, size_t data_bytes) {
  unsigned char start[10];
  char header[65536] = "";
  float *data = malloc(data_bytes);
  FILE *file = fopen(path, "rb");
  if (!data || !file || fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01", 7) != 0 ||
      fread(header, 1, start[8] + 256u * start[9], file) != start[8] + 256u * start[9] || !strstr(header, "'<f4'") ||
      fread(data, 1, data_bytes, file) != data_bytes || fgetc(file) != EOF) {
    fprintf(stderr, "infer: %s is not a .npy file of f32 with %zu bytes of data\n", path, data_bytes);
    exit(LEAT_INVALID_ARGUMENT);
  }
  fclose(file);
  return data;
}

int main(int argc, char **argv) {
  if (argc != 4) return fprintf(stderr, "usage: infer FILE.pef WEIGHTS.pt|.safetensors IMAGES.npy\n"), 1;
  leat_program_t *program;
  uint32_t image, scores;
  const leat_load_options_t options = leat_load_options_default();
  check(leat_program_load(argv[1], &options, &program));
  check(leat_program_load_weights(program, argv[2]));
  leat_symbol_info_t image_info = find(program, LEAT_SYMBOL_INPUT, 2, &image);
  leat_symbol_info_t scores_info = find(program, LEAT_SYMBOL_OUTPUT, 2, &scores);

  float *images = read_npy(argv[3], image_info.data_bytes), *score = malloc(scores_info.data_bytes);
  check(leat_program_bind(program, image, images, image_info.data_bytes));
  check(leat_program_bind(program, scores, score, scores_info.data_bytes));
  check(leat_program_run(program, LEAT_SECTIONS_FWD));

  const int64_t classes = scores_info.dims[1];
  for (int64_t i = 0; i < scores_info.dims[0]; ++i) {
    int64_t best = 0;
    for (int64_t c = 1; c < classes; ++c)
      if (score[i * classes + c] > score[i * classes + best]) best = c;
    printf("%lld\n", (long long)best);
  }
  leat_program_destroy(program);
  free(images), free(score);
  return 0;
}
