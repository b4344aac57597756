// SPDX-License-Identifier: Apache-2.0
// Trains a classifier from its training PEF, without Python: train lenet.pef IMAGES LABELS EPOCHS LR
//
// IMAGES and LABELS are IDX files, not compressed (train-images-idx3-ubyte, train-labels-idx1-ubyte).
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/runtime.h"

static void check(leat_status_t status) {
  if (!status) return;
  fprintf(stderr, "train: %s\n", leat_status_message(status));
  exit(leat_status_code(status));
}

// IDX: 0 0 8 rank, rank big-endian sizes of which the first counts the items, then the items' bytes.
static unsigned char *read_idx(const char *path, unsigned rank, size_t item_bytes, size_t *out_count) {
  unsigned char head[16] = {0};
  FILE *file = fopen(path, "rb");
  const int is_idx = file && fread(head, 4, 1 + rank, file) == 1 + rank && head[2] == 8 && head[3] == rank;
  *out_count = is_idx ? (size_t)head[4] << 24 | (size_t)head[5] << 16 | (size_t)head[6] << 8 | head[7] : 0;
  unsigned char *items = calloc(*out_count, item_bytes);
  if (!items || *out_count == 0 || fread(items, item_bytes, *out_count, file) != *out_count || fgetc(file) != EOF) {
    fprintf(stderr, "train: %s is not an IDX file of items of %zu bytes\n", path, item_bytes);
    exit(LEAT_CORRUPT);
  }
  fclose(file);
  return items;
}

// Parameters start uniform in +-1/sqrt(fan in), biases at zero.
static void init_parameters(leat_program_t *program) {
  for (uint32_t s = 0; s < leat_program_symbol_count(program); ++s) {
    leat_symbol_info_t info;
    check(leat_program_symbol_info(program, s, &info));
    if (info.kind != LEAT_SYMBOL_PARAMETER || info.dtype != LEAT_DTYPE_F32) continue;
    const size_t count = info.data_bytes / sizeof(float);
    float *values = calloc(count, sizeof *values);
    const double bound = info.rank > 1 ? 1 / sqrt((double)count / (double)info.dims[0]) : 0;
    for (size_t i = 0; i < count; ++i) values[i] = (float)(bound * (2.0 * rand() / RAND_MAX - 1));
    check(leat_program_write(program, s, values, info.data_bytes));
    free(values);
  }
}

int main(int argc, char **argv) {
  if (argc != 6) return fprintf(stderr, "usage: train FILE.pef IMAGES.idx LABELS.idx EPOCHS LR\n"), 1;
  leat_program_t *program;
  leat_symbol_info_t image_info;
  uint32_t image, label, loss, lr;
  const leat_load_options_t options = leat_load_options_default();
  check(leat_program_load(argv[1], &options, &program));
  check(leat_program_find_symbol(program, "image", &image));
  check(leat_program_find_symbol(program, "label", &label));
  check(leat_program_find_symbol(program, "lr", &lr));
  check(leat_program_symbol_info(program, image, &image_info));
  for (loss = 0;; ++loss) {  // the first scalar output
    leat_symbol_info_t info;
    check(leat_program_symbol_info(program, loss, &info));
    if (info.kind == LEAT_SYMBOL_OUTPUT && info.rank == 0) break;
  }
  init_parameters(program);
  check(leat_program_set_hyperparameter(program, lr, atof(argv[5])));

  const size_t batch = (size_t)image_info.dims[0], pixel_count = image_info.data_bytes / sizeof(float) / batch;
  size_t count, label_count;
  unsigned char *pixels = read_idx(argv[2], 3, pixel_count, &count);
  unsigned char *classes = read_idx(argv[3], 1, 1, &label_count);
  if (label_count != count)
    return fprintf(stderr, "train: %zu images, %zu labels\n", count, label_count), LEAT_MISMATCH;
  float *images = malloc(image_info.data_bytes);
  int64_t *labels = malloc(batch * sizeof *labels);
  check(leat_program_bind(program, image, images, image_info.data_bytes));
  check(leat_program_bind(program, label, labels, batch * sizeof *labels));

  for (int epoch = 1; epoch <= atoi(argv[4]); ++epoch) {
    double sum = 0;
    for (size_t first = 0; first + batch <= count; first += batch) {
      for (size_t i = 0; i < batch * pixel_count; ++i)
        images[i] = ((float)pixels[first * pixel_count + i] / 255.0f - 0.1307f) / 0.3081f;
      for (size_t i = 0; i < batch; ++i) labels[i] = classes[first + i];
      float value;
      check(leat_program_run(program, LEAT_SECTIONS_ALL));
      check(leat_program_read(program, loss, &value, sizeof value));
      sum += (double)value;
    }
    printf("epoch %d: mean loss %.4f\n", epoch, sum / (double)(count / batch));
  }
  leat_program_destroy(program);
  free(images), free(labels), free(pixels), free(classes);
  return 0;
}
