#!/usr/bin/env bash
# Spelling correction in two stages: pairs made from plain text teach a checkpoint to read by characters and what is taken
# for what, then each domain is trained with its own pairs, by every arm with 3 seeds.
#
#     CHINESE_MODERNBERT_DATA=FOLDER benchmarks/spelling_arms.sh CHECKPOINT OUTPUT [OPTION ...]
#
# Further options go to every `spell train`, such as --use_cpu --bf16. What is done is not repeated: give the same command
# again after whatever cut it off. ARMS, DOMAINS and LEAKAGE name a choice of them. Bars: sentence correction F1 above 39.8 on law
# and 22.3 on medicine (BERT-base, table of the repository of ReLM) at a false-positive rate of at most 5 %.
set -euo pipefail
checkpoint=$1 output=$2
shift 2
csc=$CHINESE_MODERNBERT_DATA/csc corpus=$CHINESE_MODERNBERT_DATA/corpus
confusion=("$csc"/confusion_{pinyin_sam,pinyin_sim,stroke}.json.gz)
mkdir -p "$output"

# make_pairs NAME SHARE FILE ...: a share of the sentences of some files with errors, none of them like one of a test.
make_pairs() {
    local file=$output/pairs_$1.jsonl share=$2
    shift 2
    [ -f "$file" ] || chinese-modernbert spell pairs "$@" --sample_share "$share" --output_file "$file" \
        --confusion "${confusion[@]}" --shares 0.75 0.1 0.15 \
        --rate 0.1 --clean_share 0.2 --shortest 12 --longest 48 --leave_out "$csc"/*.jsonl.gz
}
make_pairs law 0.115 "$corpus/train-law_cn.jsonl.gz"
make_pairs case 0.5 "$corpus/train-law_case.jsonl.gz"
make_pairs medicine 0.233 "$corpus/train-qa_medical.jsonl.gz"
make_pairs general 0.02 "$corpus"/train-{read_c3,story_children,web_dureader,dialogue,news_cctv,wiki_cmrc}.jsonl.gz

# split FILE ...: every tenth pair chooses epoch and threshold, the others train.
# make_copies DOMAIN NUMBER: so many copies of the training targets with made errors, each with its own.
split() {
    zcat "$@" | awk 'NR % 10 == 1' > "$output/${domain}_dev.jsonl"
    zcat "$@" | awk 'NR % 10 != 1' > "$output/${domain}_train.jsonl"
}
make_copies() {
    for seed in $(seq "$2"); do
        local file=$output/${1}_copy$seed.jsonl
        [ -f "$file" ] || chinese-modernbert spell pairs "$output/${1}_train.jsonl" --text_field target --seed "$seed" \
            --confusion "${confusion[@]}" --shares 0.75 0.1 0.15 --rate 0.06 --clean_share 0.2 --shortest 4 \
            --minimum_han 0.3 --output_file "$file"
    done
}

for arm in ${ARMS:-tagging soft_masked relm}; do
    chinese-modernbert spell train --config spell_synthetic --model "$checkpoint" --arm "$arm" \
        --train "$output"/pairs_*.jsonl --output_dir "$output/synthetic_$arm" "$@"
    for domain in ${DOMAINS:-law med sighan}; do
        # SIGHAN's training sets are of another kind of writer, and large enough without copies.
        case $domain in
            law) split "$csc/ecspell_law_train.jsonl.gz" && make_copies law 3 ;;
            med) split "$csc/ecspell_med_train.jsonl.gz" && make_copies med 1 ;;
            sighan) split "$csc"/sighan1{3,4,5}_train.jsonl.gz ;;
        esac
        test=$csc/ecspell_${domain}_test.jsonl.gz train=("$output/${domain}_train.jsonl")
        [ "$domain" != sighan ] || test=$csc/sighan15_test.jsonl.gz
        [ "$domain" = sighan ] || train+=("$output/${domain}"_copy*.jsonl)
        # `sources`: the protocol of the figures beside; `pairs`: without training targets that the test has, too.
        for leakage in ${LEAKAGE:-sources pairs}; do
            chinese-modernbert spell train --config spell --model "$output/synthetic_$arm/models/seed1" --arm "$arm" \
                --train "${train[@]}" --dev "$output/${domain}_dev.jsonl" --test "$test" --leakage_of "$leakage" \
                --confusion "${confusion[@]}" --output_dir "$output/${domain}_${arm}_$leakage" "$@"
        done
    done
done
