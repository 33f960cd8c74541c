<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="zh_CN" sourcelanguage="en_US">
<context>
    <name>VolumeSuperResolution</name>
    <message>
        <source>Upscale</source>
        <translation>超分辨率</translation>
    </message>
    <message>
        <source>One volu&amp;me</source>
        <translation>单个体数据(&amp;M)</translation>
    </message>
    <message>
        <source>Make one volume sharper.</source>
        <translation>提高单个体数据的清晰度。</translation>
    </message>
    <message>
        <source>Several stac&amp;ks</source>
        <translation>多个序列(&amp;K)</translation>
    </message>
    <message>
        <source>Make one sharp volume of several stacks of thick slices of one contrast, axial, sagittal and coronal for example.</source>
        <translation>将同一对比度的多个厚层序列（例如轴位、矢状位和冠状位）合成为一个清晰的体数据。</translation>
    </message>
    <message>
        <source>Search volumes</source>
        <translation>搜索体数据</translation>
    </message>
    <message>
        <source>Show only the volumes that have all these words in their name.</source>
        <translation>只显示名称中包含所有这些词的体数据。</translation>
    </message>
    <message>
        <source>Tick the stacks to combine. Those that belong together are ticked already: of one study and contrast, each in a plane of its own. While the comparison is open, it follows the row that you click.</source>
        <translation>勾选要合成的序列。属于同一组的序列已自动勾选：同一次检查、同一对比度、各自不同的平面。对比视图打开时，会随所点击的行切换。</translation>
    </message>
    <message>
        <source>Stack</source>
        <translation>序列</translation>
    </message>
    <message>
        <source>Plane</source>
        <translation>平面</translation>
    </message>
    <message>
        <source>Thickness</source>
        <translation>层厚</translation>
    </message>
    <message>
        <source>Every</source>
        <translation>层间距</translation>
    </message>
    <message>
        <source>Pixels</source>
        <translation>像素</translation>
    </message>
    <message>
        <source>Reference s&amp;tack:</source>
        <translation>参考序列(&amp;T)：</translation>
    </message>
    <message>
        <source>The stack whose place, axes and brightness the result has.</source>
        <translation>结果采用该序列的位置、坐标轴和亮度。</translation>
    </message>
    <message>
        <source>Spacin&amp;g:</source>
        <translation>体素间距(&amp;G)：</translation>
    </message>
    <message>
        <source>Voxel size of the result, the same on all axes. Automatic: that of the finest pixels.</source>
        <translation>结果的体素大小，各轴相同。自动：取最细像素的大小。</translation>
    </message>
    <message>
        <source> mm</source>
        <translation> mm</translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation>自动</translation>
    </message>
    <message>
        <source>E&amp;xtent:</source>
        <translation>范围(&amp;X)：</translation>
    </message>
    <message>
        <source>How far the result reaches: as the reference, as what all stacks show, or as what any of them shows.</source>
        <translation>结果覆盖的范围：与参考序列相同、所有序列共有的范围，或任一序列所及的范围。</translation>
    </message>
    <message>
        <source>Take the stacks where they lie instead of laying them over each other first.</source>
        <translation>直接使用序列的现有位置，不先进行配准。</translation>
    </message>
    <message>
        <source>The patient lay still &amp;between the stacks</source>
        <translation>各序列之间患者未移动(&amp;B)</translation>
    </message>
    <message>
        <source>Networks add what the stacks leave open: those for one scan of each by itself, and one that sees all together. It takes longer.</source>
        <translation>由神经网络补充各序列未确定之处：单幅扫描的网络分别处理每个序列，另有一个网络综合所有序列。耗时更长。</translation>
    </message>
    <message>
        <source>Detail b&amp;y networks</source>
        <translation>用网络增加细节(&amp;Y)</translation>
    </message>
    <message>
        <source>Also make two volumes: how many stacks saw each voxel, and what they say otherwise than the result.</source>
        <translation>另外生成两个体数据：每个体素被多少序列覆盖，以及各序列与结果的差异。</translation>
    </message>
    <message>
        <source>Maps of coverage and res&amp;idual</source>
        <translation>覆盖图与残差图(&amp;I)</translation>
    </message>
    <message>
        <source>&amp;Input volume:</source>
        <translation>输入体数据(&amp;I):</translation>
    </message>
    <message>
        <source>The scan to upscale. It is never changed.</source>
        <translation>要提高分辨率的扫描，它本身永远不会被修改。</translation>
    </message>
    <message>
        <source>What is known of the scan, and from where. Thickness, profile and noise can be told under Advanced.</source>
        <translation>关于此扫描的已知信息及其来源。层厚、剖面和噪声可在“高级”中指定。</translation>
    </message>
    <message>
        <source>&amp;Target:</source>
        <translation>目标(&amp;T):</translation>
    </message>
    <message>
        <source>How fine the result becomes. The field of view stays exactly the same.</source>
        <translation>结果的精细程度。视野保持完全不变。</translation>
    </message>
    <message>
        <source>Vo&amp;xel size:</source>
        <translation>体素大小(&amp;X):</translation>
    </message>
    <message>
        <source>Voxel size of the result along the first axis of the volume (i).</source>
        <translation>结果沿体数据第一轴 (i) 的体素大小。</translation>
    </message>
    <message>
        <source>Voxel size of the result along the second axis of the volume (j).</source>
        <translation>结果沿体数据第二轴 (j) 的体素大小。</translation>
    </message>
    <message>
        <source>Voxel size of the result along the third axis of the volume, across its slices (k).</source>
        <translation>结果沿体数据第三轴（垂直于层面，k）的体素大小。</translation>
    </message>
    <message>
        <source>Models</source>
        <translation>模型</translation>
    </message>
    <message>
        <source>Every model at hand: what it is for, how much smaller its error was, how long it takes, and how large it is.</source>
        <translation>所有可用模型：用途、误差减小的程度、所需时间以及大小。</translation>
    </message>
    <message>
        <source>Search models</source>
        <translation>搜索模型</translation>
    </message>
    <message>
        <source>Show only the models that have all these words in their name or description.</source>
        <translation>只显示名称或说明中包含所有这些词的模型。</translation>
    </message>
    <message>
        <source>MR and CT: by how much smaller the error was than that of the best interpolation, on noisy scans that no training saw.</source>
        <translation>MR 和 CT：在训练从未见过的含噪扫描上，误差比最佳插值小多少。</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>模型</translation>
    </message>
    <message>
        <source>MR</source>
        <translation>MR</translation>
    </message>
    <message>
        <source>CT</source>
        <translation>CT</translation>
    </message>
    <message>
        <source>Time</source>
        <translation>时间</translation>
    </message>
    <message>
        <source>Size</source>
        <translation>大小</translation>
    </message>
    <message>
        <source>Realism:</source>
        <translation>真实感：</translation>
    </message>
    <message>
        <source>faithful</source>
        <translation>忠实</translation>
    </message>
    <message>
        <source>From the faithful model (0), which adds little that is not sure, to this one (1), which looks most like a real scan and may show what is not there.</source>
        <translation>从忠实模型 (0，很少添加不确定的内容) 到本模型 (1，看起来最像真实扫描，但可能显示并不存在的内容)。</translation>
    </message>
    <message>
        <source>realistic</source>
        <translation>逼真</translation>
    </message>
    <message>
        <source>Install P&amp;yTorch</source>
        <translation>安装 PyTorch(&amp;Y)</translation>
    </message>
    <message>
        <source>Have the extension PyTorch install what the networks need; it asks first.</source>
        <translation>由 PyTorch 扩展安装网络所需内容；它会先询问。</translation>
    </message>
    <message>
        <source>Upscale a small box around the crosshair (or the middle of the volume, if the crosshair is not on it) and show it beside the interpolation: a moment instead of the whole run. It follows the crosshair and the settings.</source>
        <translation>提高十字线周围一小块区域（若十字线不在体数据上，则为其中心）的分辨率，并与插值结果并排显示：只需片刻，无需完整运行。它会跟随十字线和设置。</translation>
    </message>
    <message>
        <source>&amp;Preview</source>
        <translation>预览(&amp;P)</translation>
    </message>
    <message>
        <source>Make the result.</source>
        <translation>计算结果。</translation>
    </message>
    <message>
        <source>&amp;Apply</source>
        <translation>应用(&amp;A)</translation>
    </message>
    <message>
        <source>Learn no more, and go on with the best that was learned so far.</source>
        <translation>停止学习，用目前学到的最佳结果继续。</translation>
    </message>
    <message>
        <source>Enou&amp;gh</source>
        <translation>足够(&amp;G)</translation>
    </message>
    <message>
        <source>&amp;Undo</source>
        <translation>撤销(&amp;U)</translation>
    </message>
    <message>
        <source>Remove this result again. Not possible where an existing volume was overwritten.</source>
        <translation>删除此结果。如果覆盖了已有体数据则无法撤销。</translation>
    </message>
    <message>
        <source>Copy as Pytho&amp;n</source>
        <translation>复制为 Python(&amp;N)</translation>
    </message>
    <message>
        <source>Copy the call that does the same in the Python console.</source>
        <translation>复制在 Python 控制台中执行相同操作的调用。</translation>
    </message>
    <message>
        <source>Save as &amp;DICOM</source>
        <translation>另存为 DICOM(&amp;D)</translation>
    </message>
    <message>
        <source>Save this result as a DICOM series, derived from that of the input: same patient and study.</source>
        <translation>将此结果另存为由输入派生的 DICOM 序列：患者与检查相同。</translation>
    </message>
    <message>
        <source>Detai&amp;ls</source>
        <translation>详情(&amp;L)</translation>
    </message>
    <message>
        <source>Show the whole report of the run.</source>
        <translation>显示完整的运行报告。</translation>
    </message>
    <message>
        <source>&amp;Bring its segmentations along</source>
        <translation>同时带上其分割(&amp;B)</translation>
    </message>
    <message>
        <source>Take the segmentations that were drawn on the input to the grid of this result: rounder, with the same segments and volumes. New segmentations are added.</source>
        <translation>把在输入上绘制的分割转换到此结果的网格:更圆滑,分割与体积不变。会添加新的分割。</translation>
    </message>
    <message>
        <source>Compare</source>
        <translation>比较</translation>
    </message>
    <message>
        <source>Show input, interpolation and result in three linked views with the same window and level; press again to return to the previous layout.</source>
        <translation>在三个联动视图中以相同窗宽窗位显示输入、插值和结果；再次按下可返回之前的布局。</translation>
    </message>
    <message>
        <source>&amp;Compare</source>
        <translation>比较(&amp;C)</translation>
    </message>
    <message>
        <source>Center the three views on the crosshair and magnify it. Hold Shift and move the mouse over a view to place the crosshair.</source>
        <translation>将三个视图以十字线为中心并放大。按住 Shift 并在视图上移动鼠标可放置十字线。</translation>
    </message>
    <message>
        <source>&amp;Zoom</source>
        <translation>放大(&amp;Z)</translation>
    </message>
    <message>
        <source>&amp;Slices:</source>
        <translation>层面(&amp;S):</translation>
    </message>
    <message>
        <source>Which slices of the volume the three views show.</source>
        <translation>三个视图显示体数据的哪种层面。</translation>
    </message>
    <message>
        <source>Right vie&amp;w:</source>
        <translation>右侧视图(&amp;W):</translation>
    </message>
    <message>
        <source>What the right view shows: the result; flickering between interpolation and result; the interpolation left of a curtain that follows the mouse; what was changed, in colors; or where the network guesses. F7 takes the next of these, F8 begins and ends the flicker.</source>
        <translation>右侧视图显示的内容：结果；在插值与结果之间闪烁；跟随鼠标的帘幕左侧为插值；以颜色显示的变化；或网络的猜测之处。F7 切换到下一种，F8 开始或结束闪烁。</translation>
    </message>
    <message>
        <source>Cu&amp;rtain:</source>
        <translation>帘幕(&amp;R):</translation>
    </message>
    <message>
        <source>Where the curtain stands. Over the right view it follows the mouse.</source>
        <translation>帘幕的位置。在右侧视图上它会跟随鼠标。</translation>
    </message>
    <message>
        <source>Open this comparison as soon as a result is ready.</source>
        <translation>结果就绪后立即打开此比较。</translation>
    </message>
    <message>
        <source>&amp;Open when ready</source>
        <translation>完成后打开(&amp;O)</translation>
    </message>
    <message>
        <source>Advanced</source>
        <translation>高级</translation>
    </message>
    <message>
        <source>&amp;Output volume:</source>
        <translation>输出体数据(&amp;O):</translation>
    </message>
    <message>
        <source>Where the result goes: a new volume beside the input, or an existing one, which is overwritten.</source>
        <translation>结果的去处：输入旁边的新体数据，或将被覆盖的已有体数据。</translation>
    </message>
    <message>
        <source>New volume</source>
        <translation>新体数据</translation>
    </message>
    <message>
        <source>Re&amp;gion:</source>
        <translation>区域(&amp;G):</translation>
    </message>
    <message>
        <source>Upscale only what this ROI box covers. The module Markups makes such boxes.</source>
        <translation>只处理此 ROI 框所覆盖的部分。Markups 模块可创建此类框。</translation>
    </message>
    <message>
        <source>Whole volume</source>
        <translation>整个体数据</translation>
    </message>
    <message>
        <source>&amp;Device:</source>
        <translation>设备(&amp;D):</translation>
    </message>
    <message>
        <source>Where the network runs. Automatic takes a GPU if there is one that works.</source>
        <translation>网络运行的位置。自动模式会在有可用 GPU 时使用它。</translation>
    </message>
    <message>
        <source>&amp;Precision:</source>
        <translation>精度(&amp;P):</translation>
    </message>
    <message>
        <source>Half precision is faster on a GPU; automatic uses it only for models that lose nothing visible by it.</source>
        <translation>半精度在 GPU 上更快；自动模式仅在不会造成可见损失时使用。</translation>
    </message>
    <message>
        <source>Memo&amp;ry limit:</source>
        <translation>内存上限(&amp;R):</translation>
    </message>
    <message>
        <source>How much memory the network may use at most. Less memory takes longer and gives the same result.</source>
        <translation>网络最多可使用的内存。内存较少时耗时更长，但结果相同。</translation>
    </message>
    <message>
        <source> MB</source>
        <translation> MB</translation>
    </message>
    <message>
        <source>Consistenc&amp;y:</source>
        <translation>一致性(&amp;Y):</translation>
    </message>
    <message>
        <source>Rounds that pull the result back to the scan, so that nothing is added which the scan contradicts. Automatic: as the model recommends.</source>
        <translation>将结果拉回扫描的轮数，使其不含与扫描相矛盾的内容。自动：按模型推荐。</translation>
    </message>
    <message>
        <source> rounds</source>
        <translation> 轮</translation>
    </message>
    <message>
        <source>Replace values that are not numbers (NaN and infinity) with the lowest value of the volume, instead of refusing it.</source>
        <translation>用体数据的最小值替换非数值（NaN 和无穷大），而不是拒绝处理。</translation>
    </message>
    <message>
        <source>Replace values that are &amp;not numbers</source>
        <translation>替换非数值(&amp;N)</translation>
    </message>
    <message>
        <source>Also make a volume of how much the result varies when the scan is flipped: high where the network guesses. Takes eight times as long.</source>
        <translation>同时生成扫描翻转时结果变化程度的体数据：网络猜测处数值高。耗时为八倍。</translation>
    </message>
    <message>
        <source>&amp;Uncertainty map</source>
        <translation>不确定性图(&amp;U)</translation>
    </message>
    <message>
        <source>Also make a volume of error bounds, within which the truth lies in nine of ten voxels: wide where the model may err. Only for models, targets and scans for which that was measured.</source>
        <translation>同时生成误差范围的体数据，十个体素中有九个的真值在此范围内：模型可能出错处范围较宽。仅适用于已测量过的模型、目标和扫描。</translation>
    </message>
    <message>
        <source>&amp;Interval map</source>
        <translation>区间图(&amp;I)</translation>
    </message>
    <message>
        <source>Also make a volume of what in the result the scan does not determine: the model filled it in, and the scan would be the same without it.</source>
        <translation>同时生成结果中扫描未能确定的部分的体数据：它由模型补充，没有它扫描也不会改变。</translation>
    </message>
    <message>
        <source>&amp;Map of what was invented</source>
        <translation>补充内容图(&amp;M)</translation>
    </message>
    <message>
        <source>Average the results of the eight flips of the scan: a little better, eight times as slow.</source>
        <translation>对扫描八种翻转的结果取平均：略好，但慢八倍。</translation>
    </message>
    <message>
        <source>Self-ensem&amp;ble</source>
        <translation>自集成(&amp;B)</translation>
    </message>
    <message>
        <source>First learn from the slices of this volume, which are sharp in plane, how to fill in what lies between them. That takes up to ten minutes, and is used as far as it makes the result better.</source>
        <translation>先从该体数据自身的层面（层面内清晰）学习如何填补层间内容。最多需要十分钟，仅在能改善结果的程度上使用。</translation>
    </message>
    <message>
        <source>Le&amp;arn from this scan</source>
        <translation>从本次扫描学习(&amp;A)</translation>
    </message>
    <message>
        <source>Slice thic&amp;kness:</source>
        <translation>层厚(&amp;K)：</translation>
    </message>
    <message>
        <source>How thick the slices are, which may be less or more than their distance. Automatic: as DICOM tells, else as far apart as they are.</source>
        <translation>层的厚度，可小于或大于层间距。自动：取 DICOM 中的值，否则等于层间距。</translation>
    </message>
    <message>
        <source>Slice profi&amp;le:</source>
        <translation>层剖面(&amp;L)：</translation>
    </message>
    <message>
        <source>How the scanner weighed what lies in a voxel. What is chosen is relied on: the result is made to agree with the scan exactly, as far as the noise allows. Choose it only if you know it.</source>
        <translation>扫描仪如何对体素内的内容加权。所选项将被信赖：在噪声允许的范围内，使结果与扫描精确一致。仅在确知时选择。</translation>
    </message>
    <message>
        <source>Noi&amp;se:</source>
        <translation>噪声(&amp;S)：</translation>
    </message>
    <message>
        <source>The standard deviation of the noise in percent of the scan's range of intensities. Automatic: as estimated from the scan.</source>
        <translation>噪声标准差，占扫描强度范围的百分比。自动：由扫描估计。</translation>
    </message>
    <message>
        <source> %</source>
        <translation> %</translation>
    </message>
    <message>
        <source>Research use only - not for diagnosis</source>
        <translation>仅供研究使用 - 不可用于诊断</translation>
    </message>
    <message>
        <source>Volume Super Resolution</source>
        <translation>体数据超分辨率</translation>
    </message>
    <message>
        <source>Makes a volume sharper: choose a volume, a model and a target resolution, and the result stands in the scene exactly over its input. Thick slices can be made isotropic, and several stacks of them one sharp volume. Results can be compared with the best interpolation. Research use only - not for diagnosis.</source>
        <translation>使体数据更清晰：选择体数据、模型和目标分辨率，结果将精确叠放在场景中的输入之上。厚层可变为各向同性，多个厚层序列可合成为一个清晰的体数据。结果可与最佳插值并排比较。仅供研究使用 - 不可用于诊断。</translation>
    </message>
    <message>
        <source>The models follow published work on super-resolution: CNN-IL (Georgescu et al.), SRCNN (Dong et al.; Pham et al.), 3D FSRCNN (Mane et al., after Dong et al.), 3D EDSR (Golden, after Lim et al.), SRResNet (Ledig et al.), DCSRN and mDCSRN (Chen et al.), RCAN (Zhang et al.) and 3D RRDB-GAN (Ha et al., after Wang et al.). Each model's card names its paper and the data it was trained on.</source>
        <translation>这些模型遵循已发表的超分辨率工作：CNN-IL (Georgescu 等)、SRCNN (Dong 等；Pham 等)、3D FSRCNN (Mane 等，基于 Dong 等)、3D EDSR (Golden，基于 Lim 等)、SRResNet (Ledig 等)、DCSRN 和 mDCSRN (Chen 等)、RCAN (Zhang 等) 以及 3D RRDB-GAN (Ha 等，基于 Wang 等)。每个模型的卡片注明其论文和训练数据。</translation>
    </message>
    <message>
        <source>&lt;p&gt;See &lt;a href="{picture}"&gt;a comparison&lt;/a&gt; and the &lt;a href="{page}"&gt;documentation and tutorial&lt;/a&gt;.&lt;/p&gt;</source>
        <translation>&lt;p&gt;参见&lt;a href="{picture}"&gt;比较&lt;/a&gt;以及&lt;a href="{page}"&gt;文档和教程&lt;/a&gt;。&lt;/p&gt;</translation>
    </message>
</context>
<context>
    <name>application.acquisition</name>
    <message>
        <source>Slicer has loaded {name} with an acquisition transform: its slices are unevenly spaced or tilted. It is upscaled as if they were even; for true distances, resample it along that transform first.</source>
        <translation>Slicer 加载 {name} 时使用了采集变换：其层间距不均匀或倾斜。放大时按均匀处理；若需真实距离，请先按该变换重采样。</translation>
    </message>
    <message>
        <source>DICOM says of {name}: {words}. Slicer has loaded it as if they were even, so its distances are wrong, and the result's would be, too; load it with acquisition geometry regularization (a setting of DICOM), or export the series again.</source>
        <translation>DICOM 对 {name} 的说明：{words}。Slicer 按均匀层间距加载了它，因此其中的距离不正确，结果中的距离也将不正确；请在 DICOM 设置中启用“acquisition geometry regularization”后重新加载，或重新导出该序列。</translation>
    </message>
</context>
<context>
    <name>application.catalog</name>
    <message>
        <source>Automatic</source>
        <translation>自动</translation>
    </message>
</context>
<context>
    <name>application.child</name>
    <message>
        <source>The computing process ended unexpectedly, perhaps for lack of memory; nothing was changed in the scene. Try again with a smaller target or region: the process is started afresh.</source>
        <translation>计算进程意外结束，可能是内存不足；场景未作任何更改。请用较小的目标或区域重试：进程将重新启动。</translation>
    </message>
    <message>
        <source>The computing process could not be started ({reason}); check the installation of the application.</source>
        <translation>无法启动计算进程 ({reason})；请检查应用程序的安装。</translation>
    </message>
</context>
<context>
    <name>application.choosing</name>
    <message>
        <source>Slice profile: a position in mm and a weight a line</source>
        <translation>层面轮廓:每行一个位置(毫米)和一个权重</translation>
    </message>
    <message>
        <source>Automatic</source>
        <translation>自动</translation>
    </message>
    <message>
        <source>GPU (CUDA)</source>
        <translation>GPU (CUDA)</translation>
    </message>
    <message>
        <source>GPU (Apple)</source>
        <translation>GPU (Apple)</translation>
    </message>
    <message>
        <source>CPU</source>
        <translation>CPU</translation>
    </message>
    <message>
        <source>Full (fp32)</source>
        <translation>全精度 (fp32)</translation>
    </message>
    <message>
        <source>Assumed</source>
        <translation>假设</translation>
    </message>
    <message>
        <source>Gaussian</source>
        <translation>高斯</translation>
    </message>
    <message>
        <source>Box</source>
        <translation>矩形</translation>
    </message>
    <message>
        <source>From a file...</source>
        <translation>从文件…</translation>
    </message>
    <message>
        <source>Choose a model that is installed.</source>
        <translation>请选择已安装的模型。</translation>
    </message>
    <message>
        <source>Text files</source>
        <translation>文本文件</translation>
    </message>
    <message>
        <source>All files</source>
        <translation>所有文件</translation>
    </message>
</context>
<context>
    <name>application.combining</name>
    <message>
        <source>There are {count} volumes and {given} thicknesses; give one for all, or one for each.</source>
        <translation>有 {count} 个体数据和 {given} 个层厚；请给出一个共用值，或每个各一个。</translation>
    </message>
    <message>
        <source>The reference is none of the volumes; choose one of them.</source>
        <translation>参考序列不在所选体数据之中；请选择其中一个。</translation>
    </message>
</context>
<context>
    <name>application.comparing</name>
    <message>
        <source>Result</source>
        <translation>结果</translation>
    </message>
    <message>
        <source>Flicker with interpolation</source>
        <translation>与插值闪烁对比</translation>
    </message>
    <message>
        <source>Curtain over interpolation</source>
        <translation>帘幕对比插值</translation>
    </message>
    <message>
        <source>Difference to interpolation</source>
        <translation>与插值之差</translation>
    </message>
    <message>
        <source>Uncertainty</source>
        <translation>不确定性</translation>
    </message>
    <message>
        <source>Interval of 90%</source>
        <translation>90% 区间</translation>
    </message>
    <message>
        <source>Not determined by the scan</source>
        <translation>扫描未确定</translation>
    </message>
    <message>
        <source>How many scans saw it</source>
        <translation>有多少个扫描看到</translation>
    </message>
    <message>
        <source>Residual of the scans</source>
        <translation>扫描的残差</translation>
    </message>
    <message>
        <source>Axial</source>
        <translation>轴位</translation>
    </message>
    <message>
        <source>Coronal</source>
        <translation>冠状位</translation>
    </message>
    <message>
        <source>Sagittal</source>
        <translation>矢状位</translation>
    </message>
</context>
<context>
    <name>application.comparison</name>
    <message>
        <source>Input</source>
        <translation>输入</translation>
    </message>
    <message>
        <source>Interp.</source>
        <translation>插值</translation>
    </message>
    <message>
        <source>Result</source>
        <translation>结果</translation>
    </message>
</context>
<context>
    <name>application.dependencies</name>
    <message>
        <source>The networks need PyTorch, which is not installed</source>
        <translation>网络需要 PyTorch，但尚未安装</translation>
    </message>
    <message>
        <source>The networks need PyTorch, of which only an empty folder is left</source>
        <translation>网络需要 PyTorch，但只剩下一个空文件夹</translation>
    </message>
    <message>
        <source>{problem}; install the extension PyTorch in the Extensions Manager and restart Slicer, or choose an interpolation.</source>
        <translation>{problem}；请在扩展管理器中安装 PyTorch 扩展并重启 Slicer，或选择一种插值。</translation>
    </message>
    <message>
        <source>{problem}; install it with the button below, or choose an interpolation.</source>
        <translation>{problem}；请用下面的按钮安装，或选择一种插值。</translation>
    </message>
    <message>
        <source>PyTorch was installed but cannot be used yet; restart Slicer and try again.</source>
        <translation>PyTorch 已安装但尚不能使用；请重启 Slicer 后重试。</translation>
    </message>
    <message>
        <source>PyTorch is installed.</source>
        <translation>PyTorch 已安装。</translation>
    </message>
    <message>
        <source>PyTorch could not be installed ({error}); see the module PyTorch Util.</source>
        <translation>无法安装 PyTorch ({error})；请参见 PyTorch Util 模块。</translation>
    </message>
</context>
<context>
    <name>application.dicomseries</name>
    <message>
        <source>{name} was made of nothing that DICOM's database knows, so no DICOM series can be derived from it.</source>
        <translation>{name} 的来源不在 DICOM 数据库中，因此无法由其派生 DICOM 序列。</translation>
    </message>
    <message>
        <source>{name} is moved by a transform, of which DICOM knows nothing; take it out of the transform first.</source>
        <translation>{name} 处于变换之下，而 DICOM 不包含该变换；请先将其移出变换。</translation>
    </message>
    <message>
        <source>{count} of {total} files of the scan are no longer where DICOM's database has them; import it again.</source>
        <translation>该扫描的 {total} 个文件中有 {count} 个已不在 DICOM 数据库记录的位置；请重新导入。</translation>
    </message>
    <message>
        <source>Folder for the DICOM series</source>
        <translation>DICOM 序列的文件夹</translation>
    </message>
    <message>
        <source>Super-Resolution</source>
        <translation>超分辨率</translation>
    </message>
    <message>
        <source>{name} was saved as a DICOM series in {folder}.</source>
        <translation>{name} 已作为 DICOM 序列保存到 {folder}。</translation>
    </message>
    <message>
        <source>Writing {name} as DICOM</source>
        <translation>正在将 {name} 写为 DICOM</translation>
    </message>
</context>
<context>
    <name>application.learning</name>
    <message>
        <source>There is no volume to learn from.</source>
        <translation>没有可供学习的体数据。</translation>
    </message>
    <message>
        <source>learning {time}, {gain} dB on what was held out</source>
        <translation>学习中 {time}，在留出部分上 {gain} dB</translation>
    </message>
</context>
<context>
    <name>application.overlay</name>
    <message>
        <source>Changed by</source>
        <translation>变化量</translation>
    </message>
</context>
<context>
    <name>application.panel</name>
    <message>
        <source>Cancel</source>
        <translation>取消</translation>
    </message>
    <message>
        <source>&amp;Apply</source>
        <translation>应用(&amp;A)</translation>
    </message>
    <message>
        <source>Cancel comparison</source>
        <translation>取消比较</translation>
    </message>
    <message>
        <source>&amp;Compare</source>
        <translation>比较(&amp;C)</translation>
    </message>
</context>
<context>
    <name>application.regions</name>
    <message>
        <source>Choose a markups ROI for the region.</source>
        <translation>请为区域选择一个 Markups ROI。</translation>
    </message>
    <message>
        <source>{roi} has no extent; place the ROI on the volume first.</source>
        <translation>{roi} 没有范围；请先将 ROI 放置在体数据上。</translation>
    </message>
    <message>
        <source>{roi} does not touch {volume}; move the ROI onto the volume.</source>
        <translation>{roi} 未触及 {volume}；请将 ROI 移到体数据上。</translation>
    </message>
    <message>
        <source>That point is outside {volume}; move the crosshair onto the volume.</source>
        <translation>该点位于 {volume} 之外；请将十字线移到体数据上。</translation>
    </message>
</context>
<context>
    <name>application.rightview</name>
    <message>
        <source>Uncertainty</source>
        <translation>不确定性</translation>
    </message>
    <message>
        <source>90% within ±</source>
        <translation>90% 在 ± 内</translation>
    </message>
    <message>
        <source>Not in the scan</source>
        <translation>不在扫描中</translation>
    </message>
    <message>
        <source>Scans</source>
        <translation>扫描数</translation>
    </message>
    <message>
        <source>Scans differ by</source>
        <translation>扫描相差</translation>
    </message>
</context>
<context>
    <name>application.running</name>
    <message>
        <source>, {time} left</source>
        <translation>，剩余 {time}</translation>
    </message>
    <message>
        <source>The run could not be started: {error}</source>
        <translation>无法开始运行：{error}</translation>
    </message>
</context>
<context>
    <name>application.runs</name>
    <message>
        <source>The result could not be added to the scene: {error}</source>
        <translation>无法将结果添加到场景：{error}</translation>
    </message>
</context>
<context>
    <name>application.scene</name>
    <message>
        <source>Choose an input volume.</source>
        <translation>请选择输入体数据。</translation>
    </message>
    <message>
        <source>The input volume was removed from the scene, so its result was dropped; load it again.</source>
        <translation>输入体数据已从场景中删除，其结果被丢弃；请重新加载。</translation>
    </message>
    <message>
        <source>The output volume was removed from the scene, so the result was dropped; choose another.</source>
        <translation>输出体数据已从场景中删除，结果被丢弃；请另选一个。</translation>
    </message>
    <message>
        <source>The output would replace its own input; choose another output volume.</source>
        <translation>输出会替换其自身的输入；请选择其他输出体数据。</translation>
    </message>
    <message>
        <source>{name} is a label map, not a scan; choose the scan it was drawn on.</source>
        <translation>{name} 是标签图而不是扫描；请选择其所依据的扫描。</translation>
    </message>
    <message>
        <source>{name} is empty; load or choose a volume that has voxels.</source>
        <translation>{name} 为空；请加载或选择含有体素的体数据。</translation>
    </message>
    <message>
        <source>{name} has {components} values in each voxel (a color image, a vector field or a time series); extract one component or time point as a scalar volume first.</source>
        <translation>{name} 每个体素有 {components} 个值（彩色图像、向量场或时间序列）；请先提取一个分量或时间点作为标量体数据。</translation>
    </message>
    <message>
        <source>{name} is a single voxel; choose a volume with more than one.</source>
        <translation>{name} 只有一个体素；请选择含多个体素的体数据。</translation>
    </message>
    <message>
        <source>{name} holds single bits; convert it to a scalar volume of bytes first.</source>
        <translation>{name} 由单个比特组成；请先转换为字节标量体数据。</translation>
    </message>
    <message>
        <source>{name} cannot hold the result; choose a scalar volume as the output.</source>
        <translation>{name} 无法保存结果；请选择标量体数据作为输出。</translation>
    </message>
</context>
<context>
    <name>application.segments</name>
    <message>
        <source>There is no segmentation of this volume; draw or load one first.</source>
        <translation>此体积没有分割;请先绘制或加载一个。</translation>
    </message>
    <message>
        <source>{name} refined</source>
        <translation>{name} 细化</translation>
    </message>
    <message>
        <source>A segmentation was removed from the scene meanwhile.</source>
        <translation>期间有一个分割已从场景中移除。</translation>
    </message>
</context>
<context>
    <name>application.selftest</name>
    <message>
        <source>The comparison</source>
        <translation>比较</translation>
    </message>
    <message>
        <source>Upscaling with {model}</source>
        <translation>正在使用 {model} 提高分辨率</translation>
    </message>
</context>
<context>
    <name>application.showing</name>
    <message>
        <source>The model {model} of this scene is not installed; choose another.</source>
        <translation>此场景的模型 {model} 未安装；请另选一个。</translation>
    </message>
    <message>
        <source>The volume holds {count} values that are not numbers; let them be replaced (under Advanced), or mend the volume.</source>
        <translation>体数据含有 {count} 个非数值；请让其被替换（在“高级”中），或修复体数据。</translation>
    </message>
    <message>
        <source>Load a volume, or take one from the module Sample Data.</source>
        <translation>请加载体数据，或从 Sample Data 模块获取。</translation>
    </message>
</context>
<context>
    <name>application.sidebyside</name>
    <message>
        <source>There is no result of this volume to compare yet; press Apply first.</source>
        <translation>此体数据尚无可比较的结果；请先按“应用”。</translation>
    </message>
    <message>
        <source>The comparison could not be opened. {reason}</source>
        <translation>无法打开比较。{reason}</translation>
    </message>
</context>
<context>
    <name>application.stackform</name>
    <message>
        <source>Axial</source>
        <translation>轴位</translation>
    </message>
    <message>
        <source>Coronal</source>
        <translation>冠状位</translation>
    </message>
    <message>
        <source>Sagittal</source>
        <translation>矢状位</translation>
    </message>
    <message>
        <source>Oblique</source>
        <translation>斜位</translation>
    </message>
    <message>
        <source>Volume</source>
        <translation>体数据</translation>
    </message>
    <message>
        <source>As the reference</source>
        <translation>与参考序列相同</translation>
    </message>
    <message>
        <source>What all show</source>
        <translation>所有序列共有</translation>
    </message>
    <message>
        <source>What any shows</source>
        <translation>任一序列所及</translation>
    </message>
    <message>
        <source> mm</source>
        <translation> mm</translation>
    </message>
    <message>
        <source>How thick the slices are: what DICOM says, or how far they are apart, unless you know better.</source>
        <translation>切片厚度：取自 DICOM，否则为层间距；如有更准确的数值可自行修改。</translation>
    </message>
    <message>
        <source>Tick two to {most} stacks of one contrast, in different planes.</source>
        <translation>请勾选 2 至 {most} 个同一对比度、不同平面的序列。</translation>
    </message>
</context>
<context>
    <name>application.stacks</name>
    <message>
        <source>{name} lies under a transform that bends or stretches it against {other}; harden or remove the transform first.</source>
        <translation>{name} 所处的变换使其相对于 {other} 发生弯曲或拉伸；请先固化（harden）或移除该变换。</translation>
    </message>
</context>
<context>
    <name>application.targets</name>
    <message>
        <source>Own voxel size</source>
        <translation>自定义体素大小</translation>
    </message>
    <message>
        <source>Isotropic: {size} mm</source>
        <translation>各向同性：{size} mm</translation>
    </message>
    <message>
        <source>{factor}x finer: {size} mm</source>
        <translation>精细 {factor} 倍：{size} mm</translation>
    </message>
    <message>
        <source>Thinner slices: {before} → {after} mm</source>
        <translation>更薄的层：{before} → {after} mm</translation>
    </message>
</context>
<context>
    <name>application.transfer</name>
    <message>
        <source>The result is damaged; run it again.</source>
        <translation>结果已损坏；请重新运行。</translation>
    </message>
</context>
<context>
    <name>application.wording</name>
    <message>
        <source>Takes the network that is best for a target, or back-projection where none gains on noisy scans.</source>
        <translation>采用最适合目标的网络；若没有网络能改善含噪扫描，则采用反投影。</translation>
    </message>
    <message>
        <source>Its error was {percent}% smaller than that of the best interpolation, on noisy scans it never saw.</source>
        <translation>在从未见过的含噪扫描上，其误差比最佳插值小 {percent}%。</translation>
    </message>
    <message>
        <source>{count} stacks of this examination are here: &lt;a href="stacks"&gt;combine them&lt;/a&gt; into one sharp volume.</source>
        <translation>此检查有 {count} 个序列：可将其&lt;a href="stacks"&gt;合成&lt;/a&gt;为一个清晰的体数据。</translation>
    </message>
    <message>
        <source>{name}: {method}{realism}, {time} on the {device}; agrees with the scan within {residual} on average.</source>
        <translation>{name}：{method}{realism}，在 {device} 上用时 {time}；与扫描平均相差 {residual}。</translation>
    </message>
    <message>
        <source>Factor: {factor}; {parameters} parameters</source>
        <translation>倍数：{factor}；{parameters} 个参数</translation>
    </message>
    <message>
        <source>No error bounds are known for it.</source>
        <translation>尚无已知的误差范围。</translation>
    </message>
    <message>
        <source>&lt;b&gt;Automatic&lt;/b&gt; takes {title}, of the networks the best for this target. {trust}</source>
        <translation>&lt;b&gt;自动&lt;/b&gt;采用 {title}，它是最适合此目标的网络。{trust}</translation>
    </message>
    <message>
        <source>It adds nothing that is not in the scan.</source>
        <translation>它不会添加扫描中没有的内容。</translation>
    </message>
    <message>
        <source>How good it is on such scans was not measured.</source>
        <translation>尚未测量其在此类扫描上的表现。</translation>
    </message>
    <message>
        <source>Its error was {percent}% larger than that of the best interpolation, on noisy scans it never saw.</source>
        <translation>在从未见过的含噪扫描上，其误差比最佳插值大 {percent}%。</translation>
    </message>
    <message>
        <source>Interpolations</source>
        <translation>插值</translation>
    </message>
    <message>
        <source>Networks, 2x</source>
        <translation>网络，2 倍</translation>
    </message>
    <message>
        <source>Networks, 4x</source>
        <translation>网络，4 倍</translation>
    </message>
    <message>
        <source>Thick slices</source>
        <translation>厚层</translation>
    </message>
    <message>
        <source>Every grid</source>
        <translation>任意网格</translation>
    </message>
    <message>
        <source>{title}, chosen automatically</source>
        <translation>{title}（自动选择）</translation>
    </message>
    <message>
        <source>What was learned from the scan is {share}% of it: {gain} dB over {title} on what was held out.</source>
        <translation>其中 {share}% 来自从扫描中学到的内容：在留出部分上比 {title} 高 {gain} dB。</translation>
    </message>
    <message>
        <source>What was learned from the scan gained too little over {title} to be used ({gain} dB).</source>
        <translation>从扫描中学到的内容相比 {title} 改善太小（{gain} dB），未被使用。</translation>
    </message>
    <message>
        <source>In tissue the truth typically lies within ± {half} with 90% ({covered} measured on {n} subjects).</source>
        <translation>在组织中，真值通常以 90% 位于 ± {half} 之内（在 {n} 名受试者上测得 {covered}）。</translation>
    </message>
    <message>
        <source>In tissue {part} on average is not determined by the scan, but filled in.</source>
        <translation>在组织中，平均 {part} 未由扫描确定，而是补充的。</translation>
    </message>
    <message>
        <source>They were taken where they lie.</source>
        <translation>按其现有位置使用。</translation>
    </message>
    <message>
        <source>CT in HU</source>
        <translation>CT (HU)</translation>
    </message>
    <message>
        <source>assumed</source>
        <translation>假设</translation>
    </message>
    <message>
        <source>from DICOM</source>
        <translation>来自 DICOM</translation>
    </message>
    <message>
        <source>as given</source>
        <translation>按指定</translation>
    </message>
    <message>
        <source>estimated</source>
        <translation>估计</translation>
    </message>
    <message>
        <source>Noise {percent}% ({source}).</source>
        <translation>噪声 {percent}%（{source}）。</translation>
    </message>
    <message>
        <source>less than a second</source>
        <translation>不到一秒</translation>
    </message>
    <message>
        <source>Error bounds are known for {places}.</source>
        <translation>已知误差范围：{places}。</translation>
    </message>
    <message>
        <source>&lt;b&gt;Automatic&lt;/b&gt; takes {title}, as no network is made for this target. {trust}</source>
        <translation>&lt;b&gt;自动&lt;/b&gt;采用 {title}，因为没有适合此目标的网络。{trust}</translation>
    </message>
    <message>
        <source>&lt;b&gt;Automatic&lt;/b&gt; takes {title}, as the networks need PyTorch, which is not at hand. {trust}</source>
        <translation>&lt;b&gt;自动&lt;/b&gt;采用 {title}，因为网络需要 PyTorch，而它不可用。{trust}</translation>
    </message>
    <message>
        <source> and </source>
        <translation> 和 </translation>
    </message>
    <message>
        <source>Trained on {modalities}, voxels of {finest} to {coarsest} mm.</source>
        <translation>训练数据：{modalities}，体素 {finest} 至 {coarsest} mm。</translation>
    </message>
    <message>
        <source>{modality}: {clean} over the best interpolation; {noisy} on noisy scans.</source>
        <translation>{modality}：比最佳插值高 {clean}；在含噪扫描上高 {noisy}。</translation>
    </message>
    <message>
        <source>{count} stacks -&gt; {grid}, {memory}</source>
        <translation>{count} 个序列 -&gt; {grid}，{memory}</translation>
    </message>
    <message>
        <source>{name}: {count} stacks, {time}; they differ from it by {residual}% of the range of intensities.</source>
        <translation>{name}：{count} 个序列，{time}；各序列与其相差强度范围的 {residual}%。</translation>
    </message>
    <message>
        <source>Assumed: {modality}. {scan}</source>
        <translation>假设：{modality}。{scan}</translation>
    </message>
    <message>
        <source>Slices {width} mm thick every {step} mm ({source}), pixels of {fine} mm.</source>
        <translation>层厚 {width} mm，层间距 {step} mm（{source}），像素 {fine} mm。</translation>
    </message>
    <message>
        <source>Gaps of {size} mm between them.</source>
        <translation>层间有 {size} mm 间隙。</translation>
    </message>
    <message>
        <source>They overlap by {size} mm.</source>
        <translation>层间重叠 {size} mm。</translation>
    </message>
    <message>
        <source>{percent}% of the range of intensities</source>
        <translation>强度范围的 {percent}%</translation>
    </message>
    <message>
        <source>Trained on {modalities}.</source>
        <translation>训练数据：{modalities}。</translation>
    </message>
    <message>
        <source>{modality}: {clean} over the best interpolation.</source>
        <translation>{modality}：比最佳插值高 {clean}。</translation>
    </message>
    <message>
        <source>, about {time} on the {device}</source>
        <translation>，在 {device} 上约 {time}</translation>
    </message>
    <message>
        <source>, after up to {time} of learning</source>
        <translation>，此前最多学习 {time}</translation>
    </message>
    <message>
        <source>The patient had moved by up to {moved} mm and {degrees}° between them; sure to {loop} mm.</source>
        <translation>其间患者移动最多 {moved} 毫米、{degrees}°；误差约 {loop} 毫米。</translation>
    </message>
    <message>
        <source>{count} of the {total} slices of {name} moved alone and were placed one by one.</source>
        <translation>{name} 的 {total} 层中有 {count} 层单独移动过，已逐层配准。</translation>
    </message>
    <message>
        <source>{count} of the {total} slices of {name} did not fit and were left out.</source>
        <translation>{name} 的 {total} 层中有 {count} 层不吻合，已排除。</translation>
    </message>
    <message>
        <source>Assumed: {modality}, slices as thick as they are apart.</source>
        <translation>假设：{modality}，层厚等于层间距。</translation>
    </message>
    <message>
        <source>{modality}: {noisy} over the best interpolation on noisy scans.</source>
        <translation>{modality}：在含噪扫描上比最佳插值高 {noisy}。</translation>
    </message>
    <message>
        <source>, less than a second on the {device}</source>
        <translation>，在 {device} 上不到一秒</translation>
    </message>
    <message>
        <source>It is the mean of {parts}.</source>
        <translation>它是 {parts} 的平均。</translation>
    </message>
    <message>
        <source>Profile: {name} (as given).</source>
        <translation>剖面：{name}（按指定）。</translation>
    </message>
    <message>
        <source>Realism: 0 (the faithful model {partner}) to 1 (as it is)</source>
        <translation>真实感：0（忠实模型 {partner}）至 1（原样）</translation>
    </message>
    <message>
        <source>Paper: {paper}</source>
        <translation>论文：{paper}</translation>
    </message>
</context>
<context>
    <name>application.worker</name>
    <message>
        <source>A run is going on; wait for it to finish or cancel it first.</source>
        <translation>正在运行；请等待其结束或先取消。</translation>
    </message>
    <message>
        <source>The run could not go on ({error}); the error log has the details.</source>
        <translation>运行无法继续 ({error})；详情见错误日志。</translation>
    </message>
    <message>
        <source>Temporary files cannot be used ({error}).</source>
        <translation>无法使用临时文件 ({error})。</translation>
    </message>
</context>
</TS>
