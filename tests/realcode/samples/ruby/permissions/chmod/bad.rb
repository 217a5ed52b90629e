require 'fileutils'

class Setup
  def prepare(folder)
    FileUtils.mkdir_p(folder)
    FileUtils.chmod_R(0777, folder)
    File.chmod(0666, File.join(folder, 'settings.yml'))
  end
end
