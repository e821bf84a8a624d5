#!/usr/bin/env bash
# Every arm of spelling correction on law and medicine with 3 seeds, and one report beside it for each.
#
#     CHINESE_MODERNBERT_DATA=FOLDER benchmarks/spelling_arms.sh CHECKPOINT OUTPUT [OPTION ...]
#
# Further options go to every `spell train`, such as --use_cpu or --num_train_epochs 5. A run that is done is not
# repeated: give the same command again after whatever cut it off. Bars: sentence correction F1 above 39.8 on law and
# 22.3 on medicine (BERT-base, table of the repository of ReLM) at a false-positive rate of at most 5 %.
set -euo pipefail
checkpoint=$1 output=$2
shift 2
csc=$CHINESE_MODERNBERT_DATA/csc
for domain in law med; do
    for arm in tagging soft_masked relm; do
        chinese-modernbert spell train --config spell --model "$checkpoint" --arm "$arm" \
            --train "$csc/ecspell_${domain}_train.jsonl.gz" --test "$csc/ecspell_${domain}_test.jsonl.gz" \
            --output_dir "$output/${domain}_$arm" "$@"
    done
done
# The same model on SIGHAN, whose training sets are of another kind of writer.
for arm in tagging soft_masked relm; do
    chinese-modernbert spell train --config spell --model "$checkpoint" --arm "$arm" \
        --train "$csc"/sighan1{3,4,5}_train.jsonl.gz --test "$csc/sighan15_test.jsonl.gz" \
        --output_dir "$output/sighan_$arm" "$@"
done
