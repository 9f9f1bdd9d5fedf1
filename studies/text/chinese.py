"""Simplified Chinese for the page: every English sentence with its translation (data)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_HEAD = {
    "LoRA study": "LoRA 参数搜索",
    "Use epoch {epoch} of trial {trial}.": "推荐使用试验 {trial} 的第 {epoch} 轮。",
    "So far, epoch {epoch} of trial {trial} leads.": "目前领先的是试验 {trial} 的第 {epoch} 轮。",
    "provisional": "暂定",
    "The study has no verdict yet: finalists have not been judged again with fresh seeds, and test images have not "
    "been used.": "搜索尚无最终结论：入围检查点还没有换用新的随机种子复评，测试图也还没有动用。",
    "no clear gain": "提升不明显",
    "By no figure is it better than the base model beyond two standard errors. Look at the pictures before you use "
    "it, and give the study more images or another range.": "没有任何一项指标比底模好出两个标准误以上。"
    "使用前请先看图判断，并考虑增加训练图或调整搜索范围。",
    "not separable": "难分高下",
    "Another trial's checkpoint may be just as good; where finalists cannot be told apart, the one that needed the "
    "fewest images wins.": "另一个试验的检查点可能同样好；入围者分不出高下时，选训练图数最少的那个。",
    "guards": "护栏",
    "A guard bars every one of the {all} checkpoints, so that none could be preferred.": "全部 {all} 个检查点都触发了"
    "护栏，无从择优。",
    "{count} of {all} checkpoints were barred by a guard and could not win.": "{all} 个检查点中有 {count} 个触发护栏，"
    "不参与评选。",
    "{counts}; {checkpoints} checkpoints scored.": "试验：{counts}；共评分 {checkpoints} 个检查点。",
    "{count} {what}": "{what} {count} 个",
    "running": "训练中",
    "finished": "已完成",
    "pruned": "已剪枝",
    "infeasible": "不可用",
    "failed": "出错",
    "waiting": "排队中",
    "How to use it": "使用方法",
    "This file is missing; it has been moved or deleted.": "文件不存在，可能已被移走或删除。",
    "Put it into <code>models/Lora</code> of your WebUI (or <code>models/loras</code> of ComfyUI) and use strength 1 "
    "with the base model it was trained on, <code>{base}</code>.": "放进 WebUI 的 <code>models/Lora</code> 目录"
    "（ComfyUI 为 <code>models/loras</code>），配合训练所用的底模 <code>{base}</code>，权重设为 1。",
    "Begin prompts with the trigger word <strong>{word}</strong>.": "提示词以触发词 <strong>{word}</strong> 开头。",
    "Begin prompts with the trigger word: {word}": "提示词以触发词开头：{word}",
    "Write prompts the way the training captions are written; they share no trigger word.": "训练集的打标没有共同的"
    "触发词，提示词请照着训练标签的写法来写。",
    "Or let <code>{command}</code> copy it under the study's name.": "也可以运行 <code>{command}</code>，"
    "以本次搜索的名称导出。",
}
_FINDINGS = {
    "Loss": "损失",
    "Likeness (CLIP)": "相似度（CLIP）",
    "Prompt following (CLIP)": "提示词遵循（CLIP）",
    "Diversity": "多样性",
    "Memorisation": "照抄训练图",
    "Flexibility": "泛化能力",
    "{images} test image": "{images} 张测试图",
    "{images} test images": "{images} 张测试图",
    "{images} validation image": "{images} 张验证图",
    "{images} validation images": "{images} 张验证图",
    "The loss on {where} is this much lower than without the LoRA.": "在 {where}上，损失比不加 LoRA 时低了这么多。",
    "The loss on {where} is higher than without the LoRA: the training images may be learnt by heart.": "在 {where}上，"
    "损失反而高于不加 LoRA 时：可能已经过拟合，把训练图背了下来。",
    "The loss on {where} cannot be told from that without the LoRA.": "在 {where}上，损失与不加 LoRA 时没有可辨的差别。",
    "Its pictures are closer to your held-out images than the base model's, in points of 100.": "出图比底模更接近留出图"
    "（百分制）。",
    "Its pictures are further from your held-out images than the base model's, in points of 100.": "出图比底模更偏离"
    "留出图（百分制）。",
    "Its pictures are as close to your held-out images as the base model's, within the error.": "出图与留出图的接近程度"
    "和底模相当，差别在误差以内。",
    "It follows the prompts better than the base model, in points of 100.": "比底模更听提示词（百分制）。",
    "It follows the prompts less well than the base model, in points of 100.": "不如底模听提示词（百分制）。",
    "It follows the prompts as well as the base model, within the error.": "对提示词的遵循与底模相当，差别在误差以内。",
    "Its pictures of one prompt differ more from seed to seed than the base model's.": "同一提示词换随机种子时，"
    "出图变化比底模更丰富。",
    "Its pictures of one prompt differ less from seed to seed than the base model's.": "同一提示词换随机种子时，"
    "出图变化比底模少，画面趋同。",
    "Its pictures of one prompt differ from seed to seed as the base model's do.": "同一提示词换随机种子时，"
    "出图变化与底模相当。",
    "Its pictures lean less to the training images than the base model's, in points of 100.": "出图比底模更不偏向训练图"
    "（百分制）。",
    "Its pictures copy the training images more than the base model's, in points of 100.": "出图比底模更像是在照抄训练图"
    "（百分制）。",
    "Its pictures lean to the training images no more than the base model's.": "出图并不比底模更偏向训练图。",
    "It follows prompts outside the data set better than the base model, in points of 100.": "对训练集以外的提示词，"
    "遵循得比底模更好（百分制）。",
    "It follows prompts outside the data set less well than the base model, in points of 100.": "对训练集以外的提示词，"
    "遵循得不如底模（百分制）。",
    "It follows prompts outside the data set as well as the base model, within the error.": "对训练集以外的提示词，"
    "遵循程度与底模相当，差别在误差以内。",
    "Base model {base}, with the LoRA {value}.": "底模 {base}，加 LoRA 后 {value}。",
    "Its value is {value}.": "实测值 {value}。",
    "Measured once, at the end, on images that neither training nor choosing has seen (test images: {count}).": "最后只测"
    "一次，所用测试图（{count} 张）从未参与训练和挑选。",
    "Measured on the validation images by which the leader was chosen, so a little too good.": "在用来挑选的验证图上"
    "测得，因此略偏乐观。",
    "± is one standard error; a difference below two of them is not called one.": "± 后为一个标准误；小于两个标准误的"
    "差别不算差别。",
    "validation loss": "验证损失",
    "CLIP image similarity": "CLIP 图像相似度",
    "CLIP text similarity": "CLIP 图文相似度",
    "diversity between seeds": "种子间多样性",
    "memorisation": "照抄训练图",
    "following of prompts outside the data set": "训练集外提示词的遵循度",
}
_CHOICE = {
    "The winner's parameters": "胜出参数",
    "The leader's parameters": "暂时领先的参数",
    "The search did not beat the study file's own starting recipe: trial {trial} is one.": "搜索没有超过配置文件自带的"
    "起始配方：胜出的试验 {trial} 就是其中之一。",
    "For comparison: the best recipe that the study file starts with (trial {recipe}) reached an objective of "
    "{before}, the chosen trial {after}.": "作为对照：配置文件自带的最佳起始配方（试验 {recipe}）的综合得分为 "
    "{before}，选中的试验为 {after}。",
    "What it draws": "出图对比",
    "Trial {trial}, epoch by epoch, with the same prompts and seeds in every row. The chosen epoch is marked.": "试验 "
    "{trial} 逐轮出图，每一行的提示词和随机种子都相同。选中的轮次已标出。",
    "base model": "底模",
    "without LoRA": "不加 LoRA",
    "epoch {epoch}": "第 {epoch} 轮",
    "{images} images": "已训练 {images} 张",
    "objective {figure}": "综合得分 {figure}",
    "your image": "你的图",
    "held out, never trained on": "留出图，从未参与训练",
    "held-out image": "留出图",
    "{what}, picture {number}": "{what}，第 {number} 张",
    "Finalists, judged again": "入围检查点复评",
    "Fresh seeds tell the winner from every other trial.": "换用新的随机种子后，胜出者与其他试验拉开了差距。",
    "Fresh seeds cannot tell the winner from every other trial: those marked ≈ lie within one standard error of the "
    "best.": "换用新的随机种子后仍分不出高下：标 ≈ 的都在最佳者的一个标准误以内。",
    "The best of many measurements is always a little lucky; a second measurement takes the luck out.": "多次测量中的"
    "最高分总带点运气，重新测一遍可以去掉运气成分。",
    "checkpoint": "检查点",
    "images": "训练张数",
    "objective<br>in the search": "搜索时的<br>综合得分",
    "objective<br>judged again": "复评的<br>综合得分",
    "barred: {reason}": "被护栏排除：{reason}",
    "Objective: higher is better, 0 is the base model, 1 is the noise of one measurement. Every other figure is the "
    "difference from the base model, with its value below; the base model's row holds its own values.": "综合得分越高"
    "越好，0 为底模水平，1 相当于单次测量的噪声。其余各项均为与底模之差，下方小字为实测值；底模一行是它自己的实测值。",
    "The finalists side by side": "入围检查点并排对比",
    "The same prompts and seeds for all, as drawn in the search.": "提示词和随机种子全部相同，为搜索时的出图。",
    "judged again: {figure}": "复评 {figure}",
    "Not done yet. When the budget is spent, <code>lorasearch run</code> judges the finalists again with fresh seeds "
    "and only then writes <code>best.safetensors</code>.": "尚未进行。预算用完后，<code>lorasearch run</code> "
    "会换用新的随机种子复评入围者，然后才写出 <code>best.safetensors</code>。",
}
_TRIALS = {
    "How the trials went": "各试验的走势",
    "Lower is better; 0 is the base model. Each line is a trial, a cross marks where it was stopped, the star is the "
    "chosen checkpoint.": "越低越好，0 为底模水平。每条线是一个试验，叉号表示在此停止，星号为选中的检查点。",
    "The plots need JavaScript; the tables hold the same numbers.": "图表需要 JavaScript；表格里有同样的数据。",
    "Validation loss of all trials": "全部试验的验证损失",
    "The chosen trial and its training images": "选中的试验与它的训练图",
    "Where the dotted line falls away from the other, the LoRA learns its images by heart.": "虚线与实线拉开的地方，"
    "就是 LoRA 开始死记训练图、走向过拟合的地方。",
    "CLIP likeness to the held-out images": "与留出图的 CLIP 相似度",
    "Higher is better.": "越高越好。",
    "What each trial suffers from": "逐个试验诊断",
    "No trial has been scored yet.": "还没有试验得到评分。",
    "Of {count} trials: {parts}.": "{count} 个试验中：{parts}。",
    "trial": "试验",
    "diagnosis": "诊断",
    "what its curves say, and the remedy": "曲线说明了什么，怎么办",
    "best epoch": "最佳轮次",
    "objective": "综合得分",
    "trial was": "状态",
    "Remedy: {remedy}.": "对策：{remedy}。",
    "A difference counts where it exceeds two standard errors of itself, measured on the same images.": "在同一批图上"
    "测得的差别超过其自身两个标准误时才算数。",
    "A guard bars every checkpoint: {reason}.": "所有检查点都触发护栏：{reason}。",
    "diverged": "发散",
    "overfit": "过拟合",
    "memorising": "照抄训练图",
    "forgetting": "遗忘",
    "underfit": "欠拟合",
    "unclear": "看不清",
    "unfinished": "未训练到位",
    "untrained": "未训练",
    "healthy": "正常",
    "lower the learning rate": "降低学习率",
    "fewer repeats or epochs, a smaller rank or alpha, a larger batch": "减少重复次数或训练轮次，减小网络维度（dim）或 "
    "alpha，加大批量（batch size）",
    "fewer repeats or epochs, a smaller rank or alpha, more images": "减少重复次数或训练轮次，减小网络维度（dim）或 "
    "alpha，增加训练图",
    "a higher learning rate, a larger alpha, more repeats or epochs": "提高学习率，加大 alpha，增加重复次数或训练轮次",
    "fewer repeats or epochs, a lower learning rate, regularisation images": "减少重复次数或训练轮次，降低学习率，加正则化图",
    "more held-out images or timesteps, or longer training": "增加留出图或时间步，或训练更久",
    "train longer": "继续训练",
    "Earlier choices met these images too: {others}.": "此前的选择也用过这些图：{others}。",
    "{count} folds: every trial is trained once without each, and scored on what it has not seen": "{count} 折：每次试验"
    "各留出一折训练一次，用没见过的图评分",
    "Not trained to the end: {reason}.": "没有训练到底：{reason}。",
    "Forgetting: in the end it follows prompts outside the data set {loss} points less well than the base model.": "遗忘："
    "最后对数据集以外提示词的遵循比底模差 {loss} 分。",
    "Unclear: the validation loss fell by {fall} %, which may be noise.": "看不清：验证损失下降 {fall} %，可能只是噪声。",
    "Diverged: {reason}.": "发散：{reason}。",
    "Diverged: in the end the loss is {factor} times the base model's, and higher on training images too.": "发散：最后损失是"
    "底模的 {factor} 倍，训练图上也更高。",
    "Healthy: the validation loss fell by {gain} % and then stayed.": "正常：验证损失下降 {gain} %，之后保持平稳。",
    "Memorising from epoch {epoch}: in the end its pictures are {level} points nearer to training images than to "
    "held-out ones, {rise} more than the base model's.": "从第 {epoch} 轮起照抄训练图：最后出图离训练图比离留出图近 "
    "{level} 分，比底模多 {rise} 分。",
    "Unsteady from epoch {epoch}: the loss rose on training images as well as on held-out ones.": "从第 {epoch} 轮起"
    "不稳定：训练图和留出图上的损失都在上升。",
    "Overfit from epoch {epoch}: the validation loss rose again by {rise} % while the training images were learnt "
    "further.": "从第 {epoch} 轮起过拟合：验证损失回升 {rise} %，而训练图还在被继续记住。",
    "Underfit: neither validation nor training loss fell by more than {share} and noise.": "欠拟合：验证损失和训练损失的"
    "下降都没有超过 {share} 和噪声。",
    "Unfinished: the validation loss still fell by {fall} % in its last epoch.": "未训练到位：最后一轮验证损失仍下降了 "
    "{fall} %。",
    "The best {name} lie at the lower end of its range ({bound}): widen it and run again.": "{name} 的优秀取值都挤在"
    "搜索范围的下限（{bound}）：建议放宽范围后重跑。",
    "The best {name} lie at the upper end of its range ({bound}): widen it and run again.": "{name} 的优秀取值都挤在"
    "搜索范围的上限（{bound}）：建议放宽范围后重跑。",
    "the loss became {value} after {images} images": "训练 {images} 张后损失变为 {value}",
    "the gradient became {value} after {images} images": "训练 {images} 张后梯度变为 {value}",
    "the loss rose to {loss:.2f} after {images} images (predicting no noise at all scores {silence:.3g})": "训练 {images} "
    "张后损失升到 {loss:.2f}（完全不预测噪声也只有 {silence:.3g}）",
    "the validation loss is NaN or infinite": "验证损失为 NaN 或无穷大",
    "{broken} of {renders} renders are black, constant or NaN": "{renders} 张出图中有 {broken} 张是黑图、纯色图或 NaN",
    "No checkpoint had a finite objective.": "没有一个检查点的综合得分是有限值。",
    "memory ran out": "内存不足",
    "memory is full, the pack goes on smaller": "内存已满，以更小的批组继续",
    "its {folds} folds do not fit into memory together; set split.folds lower": "{folds} 折无法同时放进内存；请调低 split.folds",
    "Ray worker {worker} died": "Ray 工作进程 {worker} 已退出",
    "It was taken over from lost runners more than {times} times without a new checkpoint, so it may be what ends them.": "它被从"
    "失联的运行者那里接手超过 {times} 次，却没有新的检查点；也许正是它让它们中断。",
    "The last {wait} trials did not beat the best before them ({best:.3f}) by more than its standard error ({error:.3f}).": "最近 "
    "{wait} 个试验都没有比此前最佳（{best:.3f}）好出其标准误（{error:.3f}）以上。",
    "The budget of {limit} trials is spent.": "{limit} 个试验的预算已用完。",
    "The budget of {limit} training images is spent ({used} seen).": "{limit} 张训练图的预算已用完（已训练 {used} 张）。",
    "The budget of {limit:g} minutes is spent ({used:.1f} used).": "{limit:g} 分钟的预算已用完（已用 {used:.1f}）。",
    "The budget of {limit:g} GPU-seconds is spent ({used:.0f} used).": "{limit:g} GPU 秒的预算已用完（已用 {used:.0f}）。",
    "a guard bars every checkpoint: {reason}": "所有检查点都触发护栏：{reason}",
    "its loss is not finite": "损失不是有限值",
    "Its last {wait} checkpoints are no better than the one after {images} images, so it was trained no further.": "最近 "
    "{wait} 个检查点都不优于训练 {images} 张时的那个，因此提前停止（早停）。",
}
_EVIDENCE = {
    "Does it copy its training images?": "有没有照抄训练图？",
    "Each picture of the chosen checkpoint beside the training image that it is most like, the most alike first. The "
    "same subject is what you want; the same pose, crop and background are a copy.": "选中检查点的每张出图与最相近的"
    "训练图并排，最像的在前。主体相同正是想要的；连姿势、构图、背景都一样，就是照抄。",
    "drawn": "出图",
    "trained on": "训练图",
    "drawn: {prompt}": "出图：{prompt}",
    "training image {name}": "训练图 {name}",
    "leaning to training images: {points} points against the base model": "偏向训练图的程度：比底模 {points} 分",
    "What mattered": "哪些因素起作用",
    "Importance of the parameters": "参数重要性",
    "How differently the best tenth of the trials chose (PED-ANOVA, Optuna). A hint, not a proof: few trials make it "
    "rough.": "看最好的十分之一试验取值有何不同（Optuna 的 PED-ANOVA）。只是线索，不是证明：试验少时比较粗略。",
    "The rule": "评选规则",
    "The importance of parameters cannot be told from so few trials: at least four must have ended with a score.": "试验"
    "太少，看不出参数重要性：至少要有四个试验得到评分。",
    "All parameters at once": "全部参数一览",
    "Each line is a trial, from its values to its best objective: the bluer, the better; the chosen trial is orange.": ""
    "每条线是一个试验，从各参数取值连到最佳综合得分：越蓝越好，橙色为选中的试验。",
    "Best objective against one parameter": "最佳综合得分与单个参数的关系",
    "Each dot is a trial at its best objective (higher is better); crosses were pruned, the star is the chosen "
    "trial.": "每个点是一个试验的最佳综合得分（越高越好）；叉号为被剪枝的试验，星号为选中的试验。",
    "What trades for what": "指标间的取舍",
    "Every dot is a checkpoint. No other beats those of the Pareto front in all compared metrics at once; other weights "
    "would choose among them: <code>lorasearch select --weights</code>.": "每个点是一个检查点。帕累托前沿上的点不会被"
    "其他检查点在所有对比指标上同时超过；换一组权重就会在它们之中另选：<code>lorasearch select --weights</code>。",
    "Where it improves": "改进体现在哪里",
    "Little noise is fine detail and texture, much noise is composition and colour. Below 0 is better than the base "
    "model.": "低噪声对应细节和纹理，高噪声对应构图和色彩。低于 0 表示优于底模。",
    "Validation loss by noise level": "各噪声强度下的验证损失",
    "Every checkpoint": "全部检查点",
    "Best first.": "按综合得分从高到低排列。",
    "The first {shown} of {all}; all of them with their parameters are in <code>{file}</code> beside this page.": "共 "
    "{all} 个，此处显示前 {shown} 个；完整数据及参数见同目录的 <code>{file}</code>。",
    "All of them with their parameters are in <code>{file}</code> beside this page, too.": "完整数据及参数也可见同目录的 "
    "<code>{file}</code>。",
    "training gap": "训练差距",
    "Validation: mean of log(loss / base loss), lower is better. Other metrics: points of 100 above the base model, of "
    "which memorisation should be low and the rest high; their values stand below. Training gap: validation minus "
    "training; large means learnt by heart. ◆ Pareto front; struck through: barred by a guard.": "验证损失："
    "log(损失 / 底模损失) 的均值，越低越好。其余指标为比底模高出的分数（百分制），照抄训练图宜低，其他宜高；"
    "下方小字为实测值。训练差距：验证值减训练值，越大说明越是死记训练图。◆ 帕累托前沿；删除线：被护栏排除。",
}
_PLOTS = {
    "log(loss / base loss)": "log(损失 / 底模损失)",
    "training images seen": "已训练张数",
    "{metric}<br>points above base": "{metric}<br>比底模高出的分数",
    "{metric}<br>difference to base": "{metric}<br>与底模之差",
    "held-out images": "留出图",
    "training images": "训练图",
    "{images} images: {figure}": "{images} 张：{figure}",
    "noise level {level} %: {figure}": "噪声强度 {level} %：{figure}",
    "noise level (0 % clean, 100 % noise)": "噪声强度（0 % 为原图，100 % 为纯噪声）",
    "trial {trial}": "试验 {trial}",
    "trial {trial}, epoch {epoch}": "试验 {trial} 第 {epoch} 轮",
    "trial {trial}, epoch {epoch}, {images} images: {figure}": "试验 {trial} 第 {epoch} 轮，{images} 张：{figure}",
    "trial {trial}: {text}": "试验 {trial}：{text}",
    "chosen checkpoint": "选中的检查点",
    "chosen: epoch {epoch}": "选中：第 {epoch} 轮",
    "share of importance (%)": "重要性占比（%）",
    "best objective": "最佳综合得分",
    "others": "其他",
    "winner": "胜出",
    "dominated": "被支配",
    "Pareto front": "帕累托前沿",
}
_RULES = {
    ", ": "，",
    "; ": "；",
    " and ": "、",
    ", or if ": "，或",
    " {sentence}": "{sentence}",
    "higher is better": "越高越好",
    "lower is better": "越低越好",
    "{name} with weight {weight} ({direction})": "{name} 权重 {weight}（{direction}）",
    "The objective is the weighted mean of each metric's difference from the base model without LoRA, in units of that "
    "metric's measurement noise: {metrics}. Among all checkpoints of all trials, the winner is the earliest (fewest "
    "images seen, then smaller rank, then lower trial number) whose objective lies within {margin} of the "
    "best, the error of their difference on the same images and seeds; finalists are measured again with fresh seeds "
    "before the choice.": "综合得分是各指标与不加 LoRA 的底模之差的加权平均，以该指标自身的测量噪声为单位：{metrics}。"
    "在所有试验的全部检查点中，凡与最佳者相差不超过{margin}的（标准误取两者在相同图片和随机种子上之差的），取最早的"
    "一个：先看训练张数少，再看网络维度（dim）小，最后看试验编号小；定夺之前，入围者会换用新的随机种子重新测量。",
    "A checkpoint is barred if {conditions}, each beyond {errors} standard errors; a barred one wins only where all "
    "are, which is said then.": "检查点若{conditions}，且超出 {errors} 个标准误，即被护栏排除；只有全部被排除时才会从中"
    "选取，并会注明。",
    "its memorisation exceeds 0, and the base model's": "照抄训练图的程度大于 0 且高于底模",
    "its memorisation exceeds 0, and the base model's by more than {points} points": "照抄训练图的程度大于 0 且比底模高出 "
    "{points} 分以上",
    "it follows prompts outside the data set less well than the base model (where measured: last checkpoints and "
    "finalists)": "对训练集外提示词的遵循不如底模（仅在最后的检查点和入围者上测量）",
    "it follows prompts outside the data set less well than the base model by more than {points} points (where "
    "measured: last checkpoints and finalists)": "对训练集外提示词的遵循比底模低 {points} 分以上"
    "（仅在最后的检查点和入围者上测量）",
    "memorisation is {level:.1f} ± {level_error:.1f} points, {rise:.1f} ± {rise_error:.1f} above the base model's": "照抄训练图的"
    "程度为 {level:.1f} ± {level_error:.1f} 分，比底模高 {rise:.1f} ± {rise_error:.1f} 分",
    "prompts outside the data set are followed {loss:.1f} ± {loss_error:.1f} points less well than by the base model": "对训练集外"
    "提示词的遵循比底模低 {loss:.1f} ± {loss_error:.1f} 分",
    "{name} (objective {objective} after {images} images)": "{name}（训练 {images} 张，综合得分 {objective}）",
    "{name} is the best of {count} confirmed checkpoints; none within {margin} is earlier.": "{name}是 "
    "{count} 个复评检查点中最好的；{margin}以内没有更早的检查点。",
    "{name} is the earliest of {count} confirmed checkpoints within {margin} of the best, {best}.": "{name}是 "
    "{count} 个复评检查点中与最佳者相差不超过{margin}的最早一个；最佳者为{best}。",
    " It cannot be told apart from {others}: the difference lies within one standard error.": "它与{others}分不出高下："
    "差别在一个标准误以内。",
    " A guard bars every one of them, so that none could be preferred; of this one, {reason}.": "它们全部触发了护栏，"
    "无从择优；其中这一个：{reason}。",
    "{name}, because {reason}": "{name}（{reason}）",
    " Passed over: {names}.": "被排除：{names}。",
    "The earliest checkpoint within {margin} of the best so far; not yet confirmed.": "目前与最佳者相差不超过"
    "{margin}的最早的检查点；尚未复评。",
    "one standard error": "一个标准误",
    "half a standard error": "半个标准误",
    "{count} standard errors": "{count} 个标准误",
    " A guard bars every checkpoint so far; of this one, {reason}.": "目前所有检查点都触发了护栏；其中这一个：{reason}。",
    "All checkpoints scored the same.": "所有检查点得分相同。",
    "Only the {metric} counted in this study.": "本次搜索只看{metric}。",
    "Shares in the differences between checkpoints: {parts}.": "检查点之间差异的来源：{parts}。",
    " The {metrics} worked against the rest.": "{metrics}与其他指标方向相反。",
    " So the {metric} decided almost alone, whatever the weights say.": "因此无论权重如何，几乎都由{metric}决定。",
}
_MEASURED = {
    "How it was measured": "测量方法",
    "Seed": "随机种子",
    "Base model": "底模",
    "Images": "图片",
    "Small set": "小数据集",
    "{train} to train, {validation} to validate, {test} to test; near-duplicates are on one side": "训练 {train} 张，"
    "验证 {validation} 张，测试 {test} 张；近似重复的图只归在同一侧",
    "Validation": "验证",
    "{timesteps} timesteps an image with fixed noise; the mean of log(loss / base loss)": "每张图取 {timesteps} 个时间步"
    "并固定噪声；取 log(损失 / 底模损失) 的均值",
    "Pictures": "出图",
    "{steps} steps, guidance {guidance}, the same prompts and seeds for all": "{steps} 步，CFG {guidance}，"
    "提示词和随机种子全部相同",
    "CLIP": "CLIP",
    "not used": "未使用",
    "Image encoder": "图像编码器",
    "CLIP's": "CLIP 自带",
    "Search": "搜索",
    "{sampler} sampler, {pruner} pruner (first look at {first} images), at most {most} images a trial": "{sampler} "
    "采样器，{pruner} 剪枝器（{first} 张时首次判断），每个试验最多训练 {most} 张",
    "Confirmation": "复评",
    "{finalists} finalists, {timesteps} timesteps an image, {seeds} fresh seeds a prompt": "入围 {finalists} 个，"
    "每张图 {timesteps} 个时间步，每条提示词 {seeds} 个新随机种子",
    "Noise of one measurement": "单次测量的噪声",
    "Time of the last run": "上次运行用时",
    "training": "训练",
    "judging": "评分",
    "loading and writing": "读写",
    "{hours} h {minutes} min": "{hours} 小时 {minutes} 分",
    "{minutes} min {seconds} s": "{minutes} 分 {seconds} 秒",
    "{seconds} s": "{seconds} 秒",
    "Versions": "版本",
    "Made by lorasearch. This page holds everything it shows and asks nothing of the network.": "由 lorasearch 生成。"
    "本页自带全部内容，无需联网。",
    " It is no better than the base model without a LoRA.": "它并不比不加 LoRA 的底模更好。",
    " Nor can it be told apart from {names}.": "它与 {names} 也无法区分。",
    "All files": "全部文件",
    "CLIP image": "CLIP 图像",
    "CLIP text": "CLIP 文本",
    "Epoch": "轮次",
    "Judged again": "复评",
    "LoRA judgement": "LoRA 评审",
    "Objective": "综合得分",
    "Rank": "秩",
    "Run": "训练",
    "The images that this judgement rests on may have been used in training; then later epochs look better than they are. Judge again with images that were never trained on (<code>--held-out</code>).": "评审所用的图像可能参与过训练，这样较晚的轮次会显得比实际更好。请用从未训练过的图像重新评审（<code>--held-out</code>）。",
    "Use {winner}.": "请使用{winner}。",
    "Validation by epoch": "各轮次的验证损失",
    "Validation: mean of log(loss / base loss), lower is better. CLIP and memorisation: points of 100 above the base model. ± is one standard error.": "验证：log(损失 / 底模损失) 的均值，越低越好。CLIP 与记忆：比底模高多少分（满分 100）。± 为一个标准误。",
    "Verdict": "结论",
    "as good, but later": "同样好，但更晚",
    "base": "基础",
    "behind": "落后",
    "behind, judged again": "复评后落后",
    "best": "最佳",
    "epoch {label}": "第 {label} 轮",
    "may have been trained on": "可能参与过训练",
    "the last epoch": "最后一轮",
    "unusable: {reason}": "不可用：{reason}",
    "{files} files at a time, up to {rounds} rounds of {timesteps} timesteps an image and {seeds} fresh seeds a prompt": "每次 {files} 个文件，最多 {rounds} 轮，每轮每张图像 {timesteps} 个时间步、每条提示词 {seeds} 个新种子",
    "{choose} to choose by, {test} to test the choice on, {train} that pictures are compared with for memorisation; near-duplicates are on one side": "{choose} 张用于选择，{test} 张用于检验选择，{train} 张用于比对记忆；近似重复的图像在同一侧",
    "{name} (objective {figures})": "{name}（综合得分 {figures}）",
    "{name} is the best of {count} that were judged again with fresh seeds.": "在用新种子复评的 {count} 个中，{name}最好。",
    "{name} is the earliest of {count} that were judged again within {margin} of the best, {best}.": "在复评的 {count} 个中，{name}是与最佳者（{best}）相差不超过{margin}的最早一个。",
    "{name} is the only one that can be chosen.": "只有{name}可选。",
    "{run}, {label}": "{run}，{label}",
    "{sentence} Remedy: {remedy}.": "{sentence}对策：{remedy}。",
    "Resolution": "分辨率",
    "{size} pixels": "{size} 像素",
    "The {count} held-out images were trained on, so a LoRA that learnt them by heart looks good here; give images that were never trained on with --held-out DIR.": "这 {count} 张留出图参与过训练，死记硬背的 LoRA 在这里会显得很好；请用 --held-out DIR 给出从未训练过的图像。",
    "The {count} held-out images may have been trained on, so a LoRA that learnt them by heart looks good here; give images that were never trained on with --held-out DIR.": "这 {count} 张留出图可能参与过训练，死记硬背的 LoRA 在这里会显得很好；请用 --held-out DIR 给出从未训练过的图像。",
    "{names}: {count} held-out image(s) look like training images and are left out of the judgement.": "{names}：{count} 张留出图与训练图相似，未用于评审。",
    "{names}: {count} held-out image(s) have tags that the LoRA files list, but no image of the training folder has; were they trained on after all?": "{names}：{count} 张留出图带有 LoRA 文件列出、而训练文件夹中没有的标签；它们是否其实参与过训练？",
}
SENTENCES: Mapping[str, str] = MappingProxyType(
    _HEAD | _FINDINGS | _CHOICE | _TRIALS | _EVIDENCE | _PLOTS | _RULES | _MEASURED
)
"""English to Chinese; the places in braces are the same on both sides."""
