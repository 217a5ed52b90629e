require 'fileutils'

class Setup
  def prepare(folder)
    FileUtils.mkdir_p(folder)
    FileUtils.chmod_R(0750, folder)
    File.chmod(0600, File.join(folder, 'settings.yml'))
  end
end
